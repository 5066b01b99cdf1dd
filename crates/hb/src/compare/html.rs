//! The comparison as one self-contained page. Everything that comes from the recordings is escaped.

use std::fmt::{self, Write as _};

use hb_core::watch::decision::{Severity, Status};

use super::{Comparison, Figures, Row};
use crate::cli::baseline::figure;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #d5dae0}\
td.n{text-align:right;font-variant-numeric:tabular-nums}.PASS{color:#17692f}.PASS_WITH_DRIFT,.NO_BASELINE{color:#8a5a00}.FAIL,.NO_DATA{color:#b3261e}\
@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14171a}th,td{border-color:#343a40}.PASS{color:#6fd08c}.PASS_WITH_DRIFT,.NO_BASELINE{color:#f0b84a}.FAIL,.NO_DATA{color:#ff8a80}}";

/// A text that cannot become markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The page.
#[must_use]
pub fn page(comparison: &Comparison) -> String {
    let mut text = String::new();
    write(&mut text, comparison).expect("writing into a String cannot fail");
    text
}

fn write(text: &mut String, comparison: &Comparison) -> fmt::Result {
    let status: Status = comparison.status;
    write!(
        text,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{status}: comparison</title><style>{STYLE}</style>\
         <h1><span class=\"{status}\">{status}</span> {}</h1>",
        Escaped(&comparison.headline)
    )?;
    for (name, recording) in [("A", &comparison.a), ("B", &comparison.b)] {
        let path = Escaped(&recording.path);
        write!(text, "<p><b>{name}</b> {path}: {} samples of {} series", recording.samples, recording.series)?;
        for (cause, count) in &recording.dropped {
            write!(text, ", {count} {}", Escaped(cause))?;
        }
        text.push_str("</p>");
        for quote in &recording.quotes {
            write!(text, "<p><code>{}</code></p>", Escaped(quote))?;
        }
    }
    text.push_str("<h2>Differences</h2><table><tr><th>severity<th>series<th>what</tr>");
    for finding in &comparison.findings {
        let (class, word) = match finding.severity {
            Severity::Fail => ("FAIL", "fail"),
            Severity::Drift => ("PASS_WITH_DRIFT", "drift"),
            Severity::Notice => ("", "notice"),
        };
        let (series, reason) = (Escaped(&finding.series), Escaped(&finding.reason));
        write!(text, "<tr><td class=\"{class}\">{word}<td>{series}<td>{reason}</tr>")?;
    }
    text.push_str(
        "</table><h2>Series</h2><table><tr><th>series<th>unit<th>mean A<th>mean B<th>delta<th>%<th>p<th>KS</tr>",
    );
    comparison.series.iter().try_for_each(|row| series(text, row))?;
    text.push_str("</table></html>\n");
    Ok(())
}

fn series(text: &mut String, row: &Row) -> fmt::Result {
    let told = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
    let mean = |figures: Option<Figures>| told(figures.map(|figures| figures.mean));
    write!(text, "<tr><td>{}<td>{}", Escaped(&row.series), Escaped(&row.unit))?;
    for cell in [mean(row.a), mean(row.b), told(row.delta), told(row.percent), told(row.p), told(row.ks)] {
        write!(text, "<td class=\"n\">{cell}")?;
    }
    text.push_str("</tr>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(Escaped("<script>'&\"\u{0}").to_string(), "&lt;script&gt;&#39;&amp;&quot;\u{fffd}");
    }
}
