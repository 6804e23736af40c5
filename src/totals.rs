//! Control totals: the counts and sums that prove that no row was lost.
//!
//! The result, the batch document, the ExportLog, the notification and a recount of the file must all agree on them, so they are one
//! type with one way of adding, in 128 bits.

use crate::money::Baht;

/// The control totals of a file. The accountant compares them, and every record of the batch must agree on them.
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
