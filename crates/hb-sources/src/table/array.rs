//! NumPy arrays (`.npy`, versions 1 to 3) of one or two dimensions, rows first.

use super::text::{Text, bounded, channel_names};
use crate::format::FormatChoice;

/// How such a file begins.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// Most columns.
const COLUMNS_MAX: usize = 10_000;

/// Numbers as they stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    F8,
    F4,
    I8,
    I4,
    U1,
}

impl Kind {
    fn of(descr: &str) -> Option<Self> {
        match descr {
            "<f8" => Some(Self::F8),
            "<f4" => Some(Self::F4),
            "<i8" => Some(Self::I8),
            "<i4" => Some(Self::I4),
            "|u1" | "|b1" => Some(Self::U1),
            _ => None,
        }
    }

    fn width(self) -> usize {
        match self {
            Self::F8 | Self::I8 => 8,
            Self::F4 | Self::I4 => 4,
            Self::U1 => 1,
        }
    }

    /// A number as text.
    fn text(self, bytes: &[u8]) -> Option<String> {
        Some(match self {
            Self::F8 => {
                let value = f64::from_le_bytes(bytes.try_into().ok()?);
                short(value.to_string(), || format!("{value:e}"))
            }
            Self::F4 => {
                let value = f32::from_le_bytes(bytes.try_into().ok()?);
                short(value.to_string(), || format!("{value:e}"))
            }
            Self::I8 => i64::from_le_bytes(bytes.try_into().ok()?).to_string(),
            Self::I4 => i32::from_le_bytes(bytes.try_into().ok()?).to_string(),
            Self::U1 => bytes.first()?.to_string(),
        })
    }
}

/// A number written out, or with an exponent where that would take up to three hundred digits.
fn short(plain: String, exponent: impl FnOnce() -> String) -> String {
    const DIGITS_MAX: usize = 24;
    if plain.len() > DIGITS_MAX { exponent() } else { plain }
}

/// A channel of the SMAP and MSL telemetry: the reading, then the commands. Rows follow one another by a second.
pub(super) fn channel(bytes: &[u8]) -> Result<Text, String> {
    let (header, data) = split(bytes).ok_or("it is cut short")?;
    let descr = value(header, "descr").map(|text| text.trim_matches(['\'', '"'])).ok_or("its header has no `descr`")?;
    let kind = Kind::of(descr).ok_or_else(|| format!("its numbers are {descr}; f8, f4, i8, i4 and u1 are read"))?;
    if value(header, "fortran_order").is_some_and(|text| text == "True") {
        return Err("its columns come first; save it with rows first".to_owned());
    }
    let (rows, columns) = shape(header).ok_or("it is no array of one or two dimensions")?;
    bounded(rows)?;
    if columns == 0 || columns > COLUMNS_MAX {
        return Err(format!("it has {columns} columns; from 1 to {COLUMNS_MAX} are read"));
    }
    let width = kind.width();
    if data.len() < rows.saturating_mul(columns).saturating_mul(width) {
        return Err(super::cut_short());
    }
    let mut lines = format!("time,{}\n", channel_names(columns).join(","));
    for (number, row) in data.chunks_exact(columns * width).take(rows).enumerate() {
        let cells: Vec<String> = row.chunks_exact(width).filter_map(|cell| kind.text(cell)).collect();
        lines.push_str(&format!("{number},{}\n", cells.join(",")));
    }
    Ok(Text { lines: lines.into_bytes(), choice: FormatChoice::WideCsv })
}

/// Header and data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (version, rest) = rest.split_at_checked(2)?;
    let (length, rest) = match version.first()? {
        1 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        _ => {
            let (length, rest) = rest.split_first_chunk::<4>()?;
            (usize::try_from(u32::from_le_bytes(*length)).ok()?, rest)
        }
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// What stands behind a key, up to the comma.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    rest.split([',', '}']).next().map(str::trim)
}

/// `(rows, columns)`.
fn shape(header: &str) -> Option<(usize, usize)> {
    let (_, rest) = header.split_once("'shape':")?;
    let (inner, _) = rest.trim_start().strip_prefix('(')?.split_once(')')?;
    let sizes: Option<Vec<usize>> =
        inner.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect();
    match sizes?.as_slice() {
        [rows] => Some((*rows, 1)),
        [rows, columns] => Some((*rows, *columns)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn rows_of_an_array_are_lines() {
        let data: Vec<u8> = [0.5_f64, 1.0, -0.25, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let text = channel(&array("<f8", "False", "(2, 2)", &data)).unwrap();
        assert_eq!(String::from_utf8(text.lines).unwrap(), "time,telemetry,command_1\n0,0.5,1\n1,-0.25,0\n");
        let one = channel(&array("|u1", "False", "(3,)", &[7, 8, 9])).unwrap();
        assert_eq!(String::from_utf8(one.lines).unwrap(), "time,telemetry\n0,7\n1,8\n2,9\n");
    }

    #[test]
    fn b1_numbers_take_no_more_room_than_their_digits() {
        let values = [5e-324_f64, f64::MAX, f64::MIN_POSITIVE, -1.797_693_134_862_315_7e308];
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let text = String::from_utf8(channel(&array("<f8", "False", "(4,)", &data)).unwrap().lines).unwrap();
        assert!(text.lines().all(|line| line.len() < 30), "{text}");
        let read: Vec<f64> = text.lines().skip(1).map(|line| line[2..].parse().unwrap()).collect();
        assert_eq!(read, values);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (bytes, why) in [
            (array("<c16", "False", "(2,)", &[]), "its numbers are <c16"),
            (array("<f8", "True", "(2, 2)", &[0; 32]), "its columns come first"),
            (array("<f8", "False", "(2, 2, 2)", &[]), "no array of one or two"),
            (array("<f8", "False", "(1000, 1)", &[0; 8]), "end of file"),
            (array("<f8", "False", "(99999999999, 9)", &[]), "more than"),
            (MAGIC.to_vec(), "cut short"),
        ] {
            let told = channel(&bytes).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
