//! Money: satang as integers, from the number that JavaScript wrote to the decimal in the file.
//!
//! Risk: rounding that nobody sees. So no calculation uses floating point. A `Double` is checked once for a whole
//! number of satang, and is an integer from then on.

use std::hash::{Hash, Hasher};
use std::{fmt, mem};

/// The largest amount that is accepted, in satang: 2^53, beyond which a JavaScript number may have lost its last digits before it
/// reached the database.
pub const MAX_AMOUNT_SATANG: i64 = 1 << 53;

/// A number as the database has it, not checked yet.
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

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        mem::discriminant(self).hash(state);
        match self {
            Number::Int(value) => value.hash(state),
            Number::Double(value) => value.to_bits().hash(state),
            Number::Decimal(bytes) => bytes.hash(state),
            Number::Other(kind) => kind.hash(state),
        }
    }
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
    if value.is_nan() {
        Err("amount is NaN".to_owned())
    } else if value <= 0.0 {
        Err(not_positive(digits(value)))
    } else if value > MAX_AMOUNT_SATANG as f64 {
        Err(too_large(digits(value)))
    } else if value.fract() != 0.0 {
        Err(fractional(digits(value)))
    } else {
        // Exact: a whole number up to 2^53.
        Ok(value as i64)
    }
}

/// Plain digits for numbers that a person can read; 1e300 would have 301 digits.
fn digits(value: f64) -> String {
    if value.abs() < 1e20 { format!("{value}") } else { format!("{value:?}") }
}

fn from_decimal(bytes: [u8; 16]) -> Result<i64, String> {
    let decimal = Decimal::read(bytes).map_err(|special| match special {
        Special::NaN => "amount is NaN".to_owned(),
        Special::Infinity { negative: true } => not_positive("-Infinity"),
        Special::Infinity { negative: false } => too_large("Infinity"),
    })?;
    match decimal {
        Decimal { coefficient: 0, .. } => Err(not_positive(0)),
        Decimal { negative: true, .. } => Err(not_positive(decimal)),
        Decimal { negative: false, coefficient, exponent } => whole(coefficient, exponent),
    }
}

/// A number that is whole and at most 2^53, of either sign or zero; `None` for any other.
pub fn whole_number(number: Number) -> Option<i64> {
    let range = -MAX_AMOUNT_SATANG..=MAX_AMOUNT_SATANG;
    match number {
        Number::Int(value) => Some(value).filter(|value| range.contains(value)),
        // Exact: a whole number up to 2^53.
        Number::Double(value) if value.fract() == 0.0 && value.abs() <= MAX_AMOUNT_SATANG as f64 => Some(value as i64),
        Number::Double(_) | Number::Other(_) => None,
        Number::Decimal(bytes) => match Decimal::read(bytes).ok()? {
            Decimal { coefficient: 0, .. } => Some(0),
            Decimal { negative, coefficient, exponent } => {
                let value = whole(coefficient, exponent).ok()?;
                Some(if negative { -value } else { value })
            }
        },
    }
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

/// A Decimal128: `coefficient` x 10^`exponent`. Read from its bits, because the library of the database gives it only as a text, which is an
/// allocation for each entry; and this module does not know the database.
struct Decimal {
    negative: bool,
    coefficient: u128,
    exponent: i32,
}

/// A Decimal128 that is no number.
enum Special {
    NaN,
    Infinity { negative: bool },
}

impl Decimal {
    fn read(bytes: [u8; 16]) -> Result<Decimal, Special> {
        const EXPONENT_BIAS: i32 = 6176;
        const LARGEST_COEFFICIENT: u128 = 10u128.pow(34) - 1;
        let bits = u128::from_le_bytes(bytes);
        let negative = bits >> 127 == 1;
        let (coefficient, exponent) = match bits >> 122 & 0b11111 {
            0b11111 => return Err(Special::NaN),
            0b11110 => return Err(Special::Infinity { negative }),
            // A coefficient of more than 34 digits is not canonical and counts as zero. In this form every coefficient
            // is that long; in the other form it depends on the value.
            0b11000.. => (0, 0),
            _ => (bits & ((1 << 113) - 1), (bits >> 113 & 0x3fff) as i32 - EXPONENT_BIAS),
        };
        let coefficient = if coefficient > LARGEST_COEFFICIENT { 0 } else { coefficient };
        Ok(Decimal { negative, coefficient, exponent })
    }
}

/// As a person writes it, for reasons.
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
