//! Files that are tables: each form against the laws, and what happens when one is written anew.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking; its files are small"
)]

use std::path::Path;
use std::time::Duration;

use hb_core::watch::sample::FaultCause;
use hb_sources::conformance::{Delivered, What, check, read, read_on};
use hb_sources::file::{Begin, FileSpec, Follow};
use hb_sources::format::{Format, FormatChoice, TableForm};
use hb_sources::replay::{ReplaySpec, Speed};
use hb_sources::spec::{SourceSpec, open};
use hb_sources::{Limits, Source};

fn format(form: TableForm) -> Format {
    Format { choice: FormatChoice::Table(form), ..Format::default() }
}

fn file(path: &Path, form: TableForm, follow: Follow) -> Box<dyn Source> {
    let spec = FileSpec { path: path.to_owned(), format: format(form), follow, begin: Begin::Start };
    open(&SourceSpec::File(spec), Limits::default()).unwrap()
}

/// Checks the laws on a table of these bytes.
fn table(name: &str, bytes: &[u8], form: TableForm) -> Delivered {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let small = Limits { batch_samples_max: 7, ..Limits::default() };
    let spec = FileSpec { path: path.clone(), format: format(form), follow: Follow::Complete, begin: Begin::Start };
    let mut of_small = || open(&SourceSpec::File(spec.clone()), small).unwrap();
    let delivered = check(&mut of_small, small, 40).unwrap();
    let whole = check(&mut || file(&path, form, Follow::Complete), Limits::default(), 40).unwrap();
    assert_eq!(delivered.samples, whole.samples, "whatever the batches");
    delivered
}

fn names(delivered: &Delivered) -> Vec<String> {
    let mut names = Vec::new();
    for item in &delivered.samples {
        if let What::Sample(name, unit, ..) = &item.what {
            names.push(unit.as_ref().map_or_else(|| name.clone(), |unit| format!("{name} [{unit}]")));
        }
    }
    names
}

/// A file of an archive without compression, and its place in the directory.
fn stored(name: &str, text: &str, at: usize) -> (Vec<u8>, Vec<u8>) {
    let mut crc = !0_u32;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 });
    }
    let size = (text.len() as u32).to_le_bytes();
    let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &(!crc).to_le_bytes(), &size, &size].concat();
    let name_length = (name.len() as u16).to_le_bytes();
    let local = [b"PK\x03\x04", &common[..], &name_length, &[0, 0], name.as_bytes(), text.as_bytes()].concat();
    let place = (at as u32).to_le_bytes();
    let entry = [b"PK\x01\x02", &[20, 0][..], &common, &name_length, &[0; 12], &place, name.as_bytes()].concat();
    (local, entry)
}

/// A workbook with one sheet.
fn workbook(rows: &str) -> Vec<u8> {
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006";
    let files = [
        ("[Content_Types].xml", format!("{xml}<Types xmlns=\"{package}/content-types\"></Types>")),
        (
            "_rels/.rels",
            format!(
                "{xml}<Relationships xmlns=\"{package}/relationships\"><Relationship Id=\"r1\" Type=\"{office}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                "{xml}<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"Results\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "{xml}<Relationships xmlns=\"{package}/relationships\"><Relationship Id=\"r1\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!("{xml}<worksheet xmlns=\"{main}\"><sheetData>{rows}</sheetData></worksheet>"),
        ),
    ];
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in &files {
        let (local, entry) = stored(name, text, out.len());
        out.extend(local);
        directory.extend(entry);
    }
    let count = (files.len() as u16).to_le_bytes();
    let end = [
        b"PK\x05\x06",
        &[0; 4][..],
        &count,
        &count,
        &(directory.len() as u32).to_le_bytes(),
        &(out.len() as u32).to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    out.extend(directory);
    out.extend(end);
    out
}

fn text_cell(at: &str, text: &str) -> String {
    format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{text}</t></is></c>")
}

#[test]
fn a_workbook_of_metrics() {
    let header = ["A3 Metric", "B3 Current", "C3 Unit", "D3 Tags"]
        .map(|cell| cell.split_once(' ').map(|(at, text)| text_cell(at, text)).unwrap())
        .concat();
    let rows = format!(
        "<row r=\"1\">{}</row><row r=\"3\">{header}</row><row r=\"4\">{}<c r=\"B4\"><v>12.5</v></c>{}</row>\
         <row r=\"5\">{}<c r=\"B5\"><v>3</v></c></row><row r=\"6\">{}{}</row>\
         <row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>",
        text_cell("A1", "Bench 7"),
        text_cell("A4", "latency"),
        text_cell("C4", "ms"),
        text_cell("A5", "reset_count"),
        text_cell("A6", "state"),
        text_cell("B6", "fine"),
    );
    let delivered = table("results.xlsx", &workbook(&rows), TableForm::PbaExcel);
    assert_eq!(names(&delivered), ["latency [ms]", "reset_count"]);
    assert_eq!(delivered.values(), [12.5, 3.0]);
    assert_eq!(delivered.causes(), [FaultCause::NotANumber]);
    assert!(
        delivered.quotes.first().is_some_and(|quote| quote.contains("results.xlsx: row 3")),
        "{:?}",
        delivered.quotes
    );
}

#[test]
fn the_same_table_as_csv() {
    let csv = "Metric,Current,Unit,Tags\nlatency,12.5,ms,\nreset_count,3,,\nlatency,13,ms,\n";
    let delivered = table("results.csv", csv.as_bytes(), TableForm::PbaExcel);
    assert_eq!(names(&delivered), ["latency [ms]", "reset_count", "latency [ms]"]);
    let value_named = table("results.csv", b"name,value\nx,1\n", TableForm::PbaExcel);
    assert_eq!(value_named.values(), [1.0]);
}

#[test]
fn engines_and_channels() {
    let sensors: Vec<String> = (1..=21).map(|n| format!("{n}.5")).collect();
    let row = |unit: u32, cycle: u32| format!("{unit} {cycle} -0.0007 -0.0004 100.0 {}  \n", sensors.join(" "));
    let text = [row(1, 1), row(1, 2), "1 3 broken\n".to_owned(), row(2, 1)].concat();
    let delivered = table("train_FD001.txt", text.as_bytes(), TableForm::Cmapss);
    assert_eq!((delivered.samples.len(), delivered.causes()), (72, vec![FaultCause::Columns]));
    assert_eq!(names(&delivered)[..4], ["setting_1", "setting_2", "setting_3", "sensor_1"]);
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n";
    let numbers: Vec<u8> = [0.5_f64, 1.0, 0.25, 0.0, 0.125, 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let array = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &numbers].concat();
    let delivered = table("P-1.npy", &array, TableForm::SmapMsl);
    assert_eq!(delivered.values(), [0.5, 1.0, 0.25, 0.0, 0.125, 1.0]);
    assert_eq!(table("P-1.csv", b"0.5,1\n0.25,0\n", TableForm::SmapMsl).values(), [0.5, 1.0, 0.25, 0.0]);
}

#[test]
fn a_table_that_is_written_anew_is_read_anew_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.csv");
    let write = |value: u32| {
        // As a program that takes care does it.
        std::fs::write(folder.path().join("new"), format!("Metric,Value\na,{value}\nb,{value}\n")).unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
    };
    write(1);
    let mut source = file(&path, TableForm::PbaExcel, Follow::Growing);
    let mut delivered = read(&mut *source, Limits::default(), Duration::ZERO, |_| false).unwrap();
    let first = delivered.end.clone().unwrap();
    write(2);
    read_on(&mut delivered, &mut *source, (Limits::default(), Duration::ZERO), |_| false).unwrap();
    assert_eq!(delivered.values(), [1.0, 1.0, 2.0, 2.0]);
    // Another node that had read the first version to its end finds the second.
    let mut other = file(&path, TableForm::PbaExcel, Follow::Growing);
    other.seek(Some(&first)).unwrap();
    let again = read(&mut *other, Limits::default(), Duration::ZERO, |_| false).unwrap();
    assert_eq!((again.values(), again.causes()), (vec![2.0, 2.0], vec![]));
    // One that had not is told.
    other.seek(Some(&delivered.marks[0])).unwrap();
    let gap = read(&mut *other, Limits::default(), Duration::ZERO, |_| false).unwrap();
    assert_eq!((gap.values(), gap.causes()), (vec![2.0, 2.0], vec![FaultCause::Gap]));
}

#[test]
fn what_is_no_table_is_told_and_a_replay_reads_tables_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    for (bytes, form, why) in [
        (&b"PK\x03\x04 not really"[..], TableForm::PbaExcel, "no XLSX workbook"),
        (b"a,b\n", TableForm::PbaExcel, "names the columns Metric"),
        (b"\x93NUMPY\x01", TableForm::SmapMsl, "cut short"),
        (b"\xff\xfe", TableForm::Cmapss, "no text"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let told = file(&path, form, Follow::Complete).next(Duration::ZERO).unwrap_err().to_string();
        assert!(told.contains(why) && told.contains("what its `format` says"), "{told}");
    }
    std::fs::write(&path, "0.5\n0.25\n").unwrap();
    let spec = ReplaySpec { path, format: format(TableForm::SmapMsl), speed: Speed::Unpaced };
    let mut replay = open(&SourceSpec::Replay(spec), Limits::default()).unwrap();
    assert_eq!(read(&mut *replay, Limits::default(), Duration::ZERO, |_| false).unwrap().values(), [0.5, 0.25]);
    let piped = open(&SourceSpec::Stdin(format(TableForm::Cmapss)), Limits::default());
    assert!(piped.is_err_and(|error| error.to_string().contains("from a file")));
}
