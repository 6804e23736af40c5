//! Which numbers are amounts, and how amounts are written and read: pure rules for every number.

use batch_export::money::{Baht, MAX_AMOUNT_SATANG, Number, amount, parse_baht};
use proptest::prelude::*;

/// Decimal128 in its ordinary form.
fn decimal(negative: bool, coefficient: u128, exponent: i32) -> Number {
    let bits = u128::from(negative) << 127 | ((exponent + 6176) as u128) << 113 | coefficient;
    Number::Decimal(bits.to_le_bytes())
}

fn special(five_bits: u128, negative: bool) -> Number {
    Number::Decimal((u128::from(negative) << 127 | five_bits << 122 | 7).to_le_bytes())
}

#[test]
fn whole_positive_numbers_of_every_type_are_amounts() {
    let two53 = 9_007_199_254_740_992;
    for (number, satang) in [
        (Number::Int(1), 1),
        (Number::Int(two53), two53),
        (Number::Double(1.0), 1),
        (Number::Double(123_450.0), 123_450),
        (Number::Double(9_007_199_254_740_991.0), two53 - 1),
        (Number::Double(9_007_199_254_740_992.0), two53),
        (decimal(false, 123_450, 0), 123_450),
        (decimal(false, 123_450_000, -3), 123_450),
        (decimal(false, 12_345, 1), 123_450),
        (decimal(false, 1, 15), 1_000_000_000_000_000),
        (decimal(false, 10u128.pow(33), -33), 1),
        (decimal(false, two53 as u128, 0), two53),
    ] {
        assert_eq!(amount(Some(number)), Ok(satang), "{number:?}");
    }
}

#[test]
fn everything_else_is_refused_with_its_reason() {
    for (number, reason) in [
        (None, "amount is missing"),
        (Some(Number::Other("string")), "amount is a string, not a number"),
        (Some(Number::Int(0)), "amount 0 is not positive"),
        (Some(Number::Int(i64::MIN)), "amount -9223372036854775808 is not positive"),
        (Some(Number::Int(MAX_AMOUNT_SATANG + 1)), "amount 9007199254740993 is over 2^53"),
        (Some(Number::Double(f64::NAN)), "amount is NaN"),
        (Some(Number::Double(f64::INFINITY)), "amount inf is over 2^53"),
        (Some(Number::Double(f64::NEG_INFINITY)), "amount -inf is not positive"),
        (Some(Number::Double(-0.0)), "amount -0 is not positive"),
        (Some(Number::Double(-1.5)), "amount -1.5 is not positive"),
        (Some(Number::Double(0.5)), "amount 0.5 is a fraction of a satang"),
        (Some(Number::Double(f64::MIN_POSITIVE)), "is a fraction of a satang"),
        (Some(Number::Double(4_503_599_627_370_495.5)), "amount 4503599627370495.5 is a fraction of a satang"),
        (Some(Number::Double(9_007_199_254_740_994.0)), "amount 9007199254740994 is over 2^53"),
        (Some(Number::Double(1e300)), "amount 1e300 is over 2^53"),
        (Some(decimal(false, 0, 0)), "amount 0 is not positive"),
        (Some(decimal(true, 0, -2)), "amount 0 is not positive"),
        (Some(decimal(true, 1250, -1)), "amount -125.0 is not positive"),
        (Some(decimal(false, 1005, -2)), "amount 10.05 is a fraction of a satang"),
        (Some(decimal(false, 5, -3)), "amount 0.005 is a fraction of a satang"),
        (Some(decimal(false, 1, -6176)), "amount 1E-6176 is a fraction of a satang"),
        (Some(decimal(false, 1, 16)), "amount 1E+16 is over 2^53"),
        (Some(decimal(false, 1, 6111)), "amount 1E+6111 is over 2^53"),
        (Some(decimal(false, 9_007_199_254_740_993, 0)), "amount 9007199254740993 is over 2^53"),
        (Some(decimal(false, 10u128.pow(34), 0)), "amount 0 is not positive"),
        (Some(special(0b11000, false)), "amount 0 is not positive"),
        (Some(special(0b11111, false)), "amount is NaN"),
        (Some(special(0b11110, false)), "amount Infinity is over 2^53"),
        (Some(special(0b11110, true)), "amount -Infinity is not positive"),
    ] {
        let found = amount(number).expect_err("refused");
        assert!(found.ends_with(reason), "{number:?}: {found}");
        assert!(found.len() < 1000 && found.starts_with("amount "), "{found}");
    }
}

#[test]
fn amounts_have_exactly_two_decimals() {
    for (satang, text) in [
        (0, "0.00"),
        (1, "0.01"),
        (99, "0.99"),
        (100, "1.00"),
        (-1, "-0.01"),
        (-100, "-1.00"),
        (123_450, "1234.50"),
        (i64::MAX.into(), "92233720368547758.07"),
        (u64::MAX.into(), "184467440737095516.15"),
        (i128::from(u64::MAX) + 1, "184467440737095516.16"),
        (i128::MAX, "1701411834604692317316873037158841057.27"),
        (i128::MIN, "-1701411834604692317316873037158841057.28"),
    ] {
        assert_eq!(Baht::new(satang).to_string(), text);
        assert_eq!(parse_baht(text.as_bytes()), Some(satang));
    }
    assert_eq!(format!("{:>8}", Baht::new(150)), "    1.50");
}

#[test]
fn only_what_we_write_is_read() {
    let rejected = "||1|1.0|1.000|.50|01.00|00.00|1,00|1.0x|x.00|+1.00|-0.00|--1.00| 1.00|1.00 |-|-.10|1e2.00|1..0";
    for text in rejected.split('|').chain(["1701411834604692317316873037158841057.28", "๑.๐๐"]) {
        assert_eq!(parse_baht(text.as_bytes()), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn rendering_agrees_with_integer_formatting(satang: i128) {
        let magnitude = satang.unsigned_abs();
        let sign = if satang < 0 { "-" } else { "" };
        let expected = format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100);
        prop_assert_eq!(Baht::new(satang).to_string(), &expected[..]);
        prop_assert_eq!(parse_baht(expected.as_bytes()), Some(satang));
    }

    #[test]
    fn what_is_read_is_what_would_be_written(text in "-?[0-9]{0,3}\\.?[0-9]{0,3}") {
        if let Some(satang) = parse_baht(text.as_bytes()) {
            prop_assert_eq!(Baht::new(satang).to_string(), text);
        }
    }

    #[test]
    fn every_whole_double_in_range_is_exact(satang in 1..=MAX_AMOUNT_SATANG) {
        prop_assert_eq!(amount(Some(Number::Double(satang as f64))), Ok(satang));
        prop_assert_eq!(amount(Some(Number::Int(satang))), Ok(satang));
    }

    #[test]
    fn no_number_makes_it_panic(int: i64, double in proptest::num::f64::ANY, bytes: [u8; 16]) {
        for number in [Number::Int(int), Number::Double(double), Number::Decimal(bytes)] {
            if let Ok(satang) = amount(Some(number)) {
                prop_assert!((1..=MAX_AMOUNT_SATANG).contains(&satang));
            }
        }
    }
}
