//! Writes Prometheus' text format 0.0.4.
//!
//! The format and its escapes are those of the Prometheus documentation, "Exposition formats": in label values a
//! backslash, a double quote and a line feed are escaped; in help texts a backslash and a line feed.

use std::fmt::Write as _;

use hb_core::node::latency::Latency;

/// What a family measures.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Only rises while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// Label names with their values.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text under construction.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    out: String,
}

impl Exposition {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.out.push_str("# HELP ");
        self.out.push_str(name);
        self.out.push(' ');
        self.help(help);
        self.put(format_args!("\n# TYPE {name} {kind}\n"));
    }

    /// One sample that is a whole number.
    pub(crate) fn whole(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.series(name, labels);
        self.put(format_args!(" {value}\n"));
    }

    /// One sample that is any number.
    pub(crate) fn real(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.series(name, labels);
        if value.is_nan() {
            self.out.push_str(" NaN\n");
        } else if value.is_infinite() {
            self.out.push_str(if value > 0.0 { " +Inf\n" } else { " -Inf\n" });
        } else {
            self.put(format_args!(" {value}\n"));
        }
    }

    /// A histogram without labels.
    pub(crate) fn histogram(&mut self, name: &str, latency: &Latency) {
        for (bound, below) in latency.cumulative() {
            self.put(format_args!("{name}_bucket{{le=\"{bound}\"}} {below}\n"));
        }
        let (sum, count) = (latency.sum_seconds(), latency.count());
        self.put(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n"));
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    fn put(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.out.write_fmt(arguments).expect("writing to a string does not fail");
    }

    fn series(&mut self, name: &str, labels: Labels<'_>) {
        self.out.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            self.label_value(value);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
    }

    fn help(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                _ => self.out.push(c),
            }
        }
    }

    fn label_value(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '"' => self.out.push_str("\\\""),
                _ => self.out.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Exposition::default();
        text.family("a", Kind::Gauge, "one\ntwo \\ \"three\"");
        text.whole("a", &[("x", "q\"b\\s\nn"), ("y", "plain")], 7);
        text.real("a", &[], f64::NEG_INFINITY);
        let expected =
            "# HELP a one\\ntwo \\\\ \"three\"\n# TYPE a gauge\na{x=\"q\\\"b\\\\s\\nn\",y=\"plain\"} 7\na -Inf\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn histograms_end_in_inf_sum_and_count() {
        let mut latency = Latency::default();
        latency.record(0.003);
        latency.record(99.0);
        let mut text = Exposition::default();
        text.histogram("t", &latency);
        let text = text.finish();
        assert!(text.contains("t_bucket{le=\"0.0025\"} 0\nt_bucket{le=\"0.005\"} 1\n"), "{text}");
        assert!(text.ends_with("t_bucket{le=\"+Inf\"} 2\nt_sum 99.003\nt_count 2\n"), "{text}");
    }
}
