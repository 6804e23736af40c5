//! A layout prepared for writing: slots instead of paths, bytes instead of texts.

use crate::calendar::Day;
use crate::entry::FieldList;
use crate::layout::{
    CONTRA_PATHS, Column, DateFormat, Encoder, Encoding, FieldKind, Invisible, Layout, LineBreaks, Quote, VOUCHER_PATH,
    Value, Zero,
};

use super::SheetOptions;

/// How each cell of a row is made.
pub(super) struct Plan {
    pub(super) columns: Vec<PlannedColumn>,
    pub(super) two_rows: bool,
    pub(super) decimal_comma: bool,
    pub(super) formula_guard: bool,
    pub(super) line_breaks: LineBreaks,
    pub(super) invisible: Invisible,
    pub(super) encoding: Encoding,
    /// Rows before the first entry.
    pub(super) header_lines: u64,
    /// Slots of the contra accounts, of a debit and of a credit entry, when a column shows one.
    pub(super) contra: Option<[usize; 2]>,
    pub(super) voucher: Option<PlannedVoucher>,
    pub(super) zone: chrono_tz::Tz,
    pub(super) business_date: chrono::NaiveDate,
    /// The setting, never blank.
    pub(super) contra_account: Option<String>,
}

/// The data of a column with vouchers.
pub(super) struct PlannedVoucher {
    pub(super) slot: usize,
    /// Beginning of every generated voucher: `JV-`.
    pub(super) prefix: String,
    /// Beginning of this file's: `JV-260118-`.
    pub(super) stem: String,
}

/// A prepared column.
pub(super) struct PlannedColumn {
    /// The cell in the header line, encoded.
    header: Vec<u8>,
    /// The name of the column's content in messages.
    pub(super) name: String,
    pub(super) content: Content,
    /// Whether a text or a code may be stored as a whole number. The entry's own fields, such as `description`, are texts.
    pub(super) takes_numbers: bool,
    /// Written when the field is missing, encoded.
    pub(super) empty: Option<Vec<u8>>,
    pub(super) max_chars: Option<usize>,
    /// Whether the first bytes of the file can be those of a cell of this column.
    pub(super) begins_file: bool,
}

/// The source of a cell.
pub(super) enum Content {
    EntryId,
    Line,
    Position,
    Date(DateFormat),
    /// The same in every row, generated.
    Ascii(Vec<u8>),
    /// The same in every row, the layout's own text.
    Fixed(Vec<u8>),
    /// One for debit rows, one for credit rows.
    Side([Vec<u8>; 2]),
    Voucher,
    Account,
    ContraAccount,
    Debit(Vec<u8>),
    Credit(Vec<u8>),
    Amount,
    SignedAmount,
    /// A field of the entry, by its slot.
    Field(usize, FieldKind),
}

impl Content {
    /// Whether the two rows of an entry have different cells.
    pub(super) fn is_of_row(&self) -> bool {
        use Content::{Account, ContraAccount, Credit, Debit, Line, Side, SignedAmount};
        matches!(self, Line | Side(_) | Account | ContraAccount | Debit(_) | Credit(_) | SignedAmount)
    }
}

impl Plan {
    pub(super) fn new(options: &SheetOptions, encoding: Encoding, fields: &FieldList) -> Result<Plan, String> {
        let layout = &options.layout;
        layout.fits(encoding)?;
        let columns = layout.columns.iter().map(|column| planned(column, options, encoding, fields));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        columns[0].begins_file = !layout.header && layout.quote == Quote::Needed;
        let contra = CONTRA_PATHS.map(|path| fields.slot(path));
        Ok(Plan {
            columns,
            two_rows: layout.two_rows,
            decimal_comma: layout.decimal_mark == b',',
            formula_guard: layout.formula_guard,
            line_breaks: layout.line_breaks,
            invisible: layout.invisible,
            encoding,
            header_lines: u64::from(layout.header),
            contra: shows_contra(layout).then(|| contra[0].zip(contra[1])).flatten().map(Into::into),
            voucher: voucher(options, fields)?,
            zone: options.zone,
            business_date: options.business_date,
            contra_account: options.contra_account.clone().filter(|account| !account.trim().is_empty()),
        })
    }

    pub(super) fn header(&self) -> impl Iterator<Item = &[u8]> {
        self.columns.iter().map(|column| &*column.header)
    }
}

fn shows_contra(layout: &Layout) -> bool {
    let shows = |value: &Value| matches!(value, Value::ContraAccount) || (layout.two_rows && *value == Value::Account);
    layout.columns.iter().any(|column| shows(&column.value))
}

fn voucher(options: &SheetOptions, fields: &FieldList) -> Result<Option<PlannedVoucher>, String> {
    let layout = &options.layout;
    if !layout.columns.iter().any(|column| column.value == Value::Voucher) {
        return Ok(None);
    }
    let day = business_day(options)?;
    let short: DateFormat = "yymmdd".parse()?;
    let date = short.write(day);
    let date = String::from_utf8_lossy(date.as_bytes()).into_owned();
    let prefix = format!("{}-", layout.voucher_prefix);
    Ok(Some(PlannedVoucher { slot: slot(fields, VOUCHER_PATH)?, stem: format!("{prefix}{date}-"), prefix }))
}

fn business_day(options: &SheetOptions) -> Result<Day, String> {
    Day::from_date(options.business_date).ok_or_else(|| "the business date is outside the years 1 to 9999".to_owned())
}

fn slot(fields: &FieldList, path: &str) -> Result<usize, String> {
    fields.slot(path).ok_or_else(|| format!("{path} is not among the fields that are read"))
}

fn planned(
    column: &Column,
    options: &SheetOptions,
    encoding: Encoding,
    fields: &FieldList,
) -> Result<PlannedColumn, String> {
    let layout = &options.layout;
    let mut encoder = Encoder::new(encoding);
    let mut bytes =
        |text: &str| encoder.encode(text).map(<[u8]>::to_vec).map_err(|_| format!("{text:?} cannot be encoded"));
    let mut name = if column.header.is_empty() { "a cell".to_owned() } else { column.header.clone() };
    let mut field = |path: &str| {
        path.clone_into(&mut name);
        slot(fields, path)
    };
    let content = match &column.value {
        Value::EntryId => Content::EntryId,
        Value::Line => Content::Line,
        Value::Position => Content::Position,
        Value::Date(format) => Content::Date(*format),
        Value::BusinessDate(format) => Content::Ascii(format.write(business_day(options)?).as_bytes().to_vec()),
        Value::BatchNumber => Content::Ascii(options.batch_number.to_string().into_bytes()),
        Value::Voucher => Content::Voucher,
        Value::Account => Content::Account,
        Value::ContraAccount => Content::ContraAccount,
        Value::Debit(zero) => Content::Debit(unused(*zero, layout)),
        Value::Credit(zero) => Content::Credit(unused(*zero, layout)),
        Value::Amount => Content::Amount,
        Value::SignedAmount => Content::SignedAmount,
        Value::Side([debit, credit]) => Content::Side([bytes(debit)?, bytes(credit)?]),
        Value::Description => Content::Field(field("description")?, FieldKind::Text),
        Value::Category => Content::Field(field("category")?, FieldKind::Text),
        Value::Client => Content::Field(field("clientId")?, FieldKind::Code),
        Value::Constant(text) => Content::Fixed(bytes(text)?),
        Value::Field(path, kind) => Content::Field(field(path)?, *kind),
    };
    let header = bytes(&column.header)?;
    let empty = column.empty.as_deref().map(bytes).transpose()?;
    let takes_numbers = matches!(column.value, Value::Field(..));
    Ok(PlannedColumn { header, name, content, takes_numbers, empty, max_chars: column.max_chars, begins_file: false })
}

/// The unused one of a debit and a credit cell.
fn unused(zero: Zero, layout: &Layout) -> Vec<u8> {
    match zero {
        Zero::Amount => vec![b'0', layout.decimal_mark, b'0', b'0'],
        Zero::Empty => Vec::new(),
    }
}
