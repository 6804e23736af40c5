//! Money: satang as integers, from the number that JavaScript wrote to the decimal in the file.
//!
//! The danger is a rounding that nobody sees: so no amount and no total ever passes through floating point. A `Double` is looked at
//! once, to see whether it holds a whole number of satang, and is an integer from there on.

use std::fmt;

/// The largest amount that is accepted, in satang: 2^53, beyond which a JavaScript number may have lost its last digits before it
/// reached the database.
pub const MAX_AMOUNT_SATANG: i64 = 1 << 53;

/// A stored number as the database has it, before anything is believed about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Int32 or Int64.
    Int(i64),
    /// Double.
    Double(f64),
    /// Decimal128: the 16 bytes as BSON stores them (IEEE 754-2008, binary integer decimal, little-endian).
    Decimal([u8; 16]),
    /// Not a number at all; the name of the type that was found, such as `string`.
    Other(&'static str),
}

/// The amount of an entry, in satang.
///
/// # Errors
/// A reason for a person, beginning with the field's name: missing, not a number, not positive, fractional, over 2^53.
pub fn amount(number: Option<Number>) -> Result<i64, String> {
    match number {
        None => Err("amount is missing".to_owned()),
        Some(Number::Int(satang)) => from_int(satang),
        Some(Number::Double(value)) => from_double(value),
        Some(Number::Decimal(bytes)) => from_decimal(bytes),
        Some(Number::Other(kind)) => Err(format!("amount is a {kind}, not a number")),
    }
}

fn from_int(satang: i64) -> Result<i64, String> {
    match satang {
        ..=0 => Err(not_positive(satang)),
        1..=MAX_AMOUNT_SATANG => Ok(satang),
        _ => Err(too_large(satang)),
    }
}

fn from_double(value: f64) -> Result<i64, String> {
    // Plain digits as far as a person reads them; 1e300 would be 301 of them.
    let shown = if value.abs() < 1e20 { format!("{value}") } else { format!("{value:?}") };
    if value.is_nan() {
        Err("amount is NaN".to_owned())
    } else if value <= 0.0 {
        Err(not_positive(shown))
    } else if value > MAX_AMOUNT_SATANG as f64 {
        Err(too_large(shown))
    } else if value.fract() != 0.0 {
        Err(fractional(shown))
    } else {
        // Exact: a whole number up to 2^53.
        Ok(value as i64)
    }
}

fn from_decimal(bytes: [u8; 16]) -> Result<i64, String> {
    const EXPONENT_BIAS: i32 = 6176;
    const LARGEST_COEFFICIENT: u128 = 10u128.pow(34) - 1;
    let bits = u128::from_le_bytes(bytes);
    let negative = bits >> 127 == 1;
    let (coefficient, exponent) = match bits >> 122 & 0b11111 {
        0b11111 => return Err("amount is NaN".to_owned()),
        0b11110 if negative => return Err(not_positive("-Infinity")),
        0b11110 => return Err(too_large("Infinity")),
        // A coefficient of more than 34 digits is not canonical and counts as zero, in this form always, in the other one by value.
        0b11000.. => (0, 0),
        _ => (bits & ((1 << 113) - 1), (bits >> 113 & 0x3fff) as i32 - EXPONENT_BIAS),
    };
    if coefficient == 0 || coefficient > LARGEST_COEFFICIENT {
        return Err(not_positive(0));
    }
    if negative {
        return Err(not_positive(Decimal { negative, coefficient, exponent }));
    }
    whole(coefficient, exponent)
}

/// `coefficient` x 10^`exponent` as an amount, when that is a whole number in range. The coefficient is not zero.
fn whole(coefficient: u128, exponent: i32) -> Result<i64, String> {
    let shown = Decimal { negative: false, coefficient, exponent };
    let (mut value, mut exponent) = (coefficient, exponent);
    while exponent < 0 && value % 10 == 0 {
        value /= 10;
        exponent += 1;
    }
    if exponent < 0 {
        return Err(fractional(shown));
    }
    while exponent > 0 && value <= MAX_AMOUNT_SATANG as u128 {
        value *= 10;
        exponent -= 1;
    }
    if value > MAX_AMOUNT_SATANG as u128 { Err(too_large(shown)) } else { Ok(value as i64) }
}

/// A decimal number as a person writes it, for reasons only.
struct Decimal {
    negative: bool,
    coefficient: u128,
    exponent: i32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.coefficient.to_string();
        match usize::try_from(-self.exponent) {
            Ok(0) => write!(f, "{sign}{digits}"),
            Ok(places) if places <= 34 => {
                let digits = format!("{digits:0>width$}", width = places + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places);
                write!(f, "{sign}{whole}.{fraction}")
            }
            _ => write!(f, "{sign}{digits}E{:+}", self.exponent),
        }
    }
}

fn not_positive(value: impl fmt::Display) -> String {
    format!("amount {value} is not positive")
}

fn fractional(value: impl fmt::Display) -> String {
    format!("amount {value} is a fraction of a satang")
}

fn too_large(value: impl fmt::Display) -> String {
    format!("amount {value} is over 2^53")
}

/// An exact decimal such as `1234.50`, on the stack.
#[derive(Clone, Copy)]
pub struct Baht {
    bytes: [u8; Baht::LONGEST],
    start: usize,
}

impl Baht {
    /// A sign, the 39 digits of 2^127, and a point.
    const LONGEST: usize = 41;

    /// Renders satang as baht with two decimals.
    pub fn new(satang: i128) -> Baht {
        let mut baht = Baht { bytes: [0; Baht::LONGEST], start: Baht::LONGEST };
        let mut rest = satang.unsigned_abs();
        // At least three digits, so that one stands before the point.
        for place in 0.. {
            // 128-bit divisions are slow, and nearly every amount fits in 64.
            let digit = match u64::try_from(rest) {
                Ok(small) => {
                    rest = u128::from(small / 10);
                    (small % 10) as u8
                }
                Err(_) => {
                    let digit = (rest % 10) as u8;
                    rest /= 10;
                    digit
                }
            };
            if place == 2 {
                baht.put(b'.');
            }
            baht.put(b'0' + digit);
            if rest == 0 && place >= 2 {
                break;
            }
        }
        if satang < 0 {
            baht.put(b'-');
        }
        baht
    }

    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    /// The text, all ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl fmt::Display for Baht {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(self.as_bytes()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Baht {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a decimal back, in satang: exactly what [`Baht`] writes and nothing else. `None` for any other text.
pub fn parse_baht(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_at(digits.len().checked_sub(3)?);
    let canonical = !whole.is_empty() && (whole.len() == 1 || whole[0] != b'0') && fraction[0] == b'.';
    if !canonical {
        return None;
    }
    let mut satang = 0i128;
    for byte in whole.iter().chain(&fraction[1..]) {
        if !byte.is_ascii_digit() {
            return None;
        }
        // Downwards, so that the smallest number fits.
        satang = satang.checked_mul(10)?.checked_sub(i128::from(byte - b'0'))?;
    }
    match (negative, satang) {
        (true, 0) => None,
        (true, satang) => Some(satang),
        (false, satang) => satang.checked_neg(),
    }
}

/// The control totals of a file: what the accountant compares, and what every record of the batch must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlTotals {
    /// Journal entries.
    pub entries: u64,
    /// Rows of the file, without the header.
    pub rows: u64,
    /// Sum of the file's debit column, in satang.
    pub total_debit: i128,
    /// Sum of the file's credit column, in satang.
    pub total_credit: i128,
}

impl ControlTotals {
    /// Adds one row. Cannot overflow: 2^64 rows of the largest `i64` are less than 2^127.
    pub fn add_row(&mut self, debit_satang: i64, credit_satang: i64) {
        self.rows += 1;
        self.total_debit += i128::from(debit_satang);
        self.total_credit += i128::from(credit_satang);
    }

    /// Debits minus credits, in satang; zero when the file is balanced.
    pub fn difference(&self) -> i128 {
        self.total_debit - self.total_credit
    }

    /// Debit and credit total as the Int64 of the stored documents.
    ///
    /// # Errors
    /// A sentence when a total does not fit, which takes more than 92 quadrillion baht: a batch of wrong amounts.
    pub fn as_int64(&self) -> Result<(i64, i64), String> {
        let fit = |name: &str, total: i128| {
            i64::try_from(total)
                .map_err(|_| format!("the {name} total {} does not fit in a 64-bit number of satang", Baht::new(total)))
        };
        Ok((fit("debit", self.total_debit)?, fit("credit", self.total_credit)?))
    }
}
