//! What was measured, as figures over time: kept in a table of comma-separated values, one figure a line, so that anybody can judge it again.

use std::collections::BTreeMap;
use std::fmt;

/// First line of the table.
pub(crate) const HEAD: &str = "seconds,who,life,figure,value";
/// What stands as figure where something was done rather than measured; `value` says what.
const EVENT: &str = "event";

/// One figure at one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    /// A node, or `site`.
    pub(crate) who: String,
    /// Which process of the node it is, from 1; 0 for the site.
    pub(crate) life: u32,
    pub(crate) figure: String,
    pub(crate) value: f64,
}

/// Something that was done, or came about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) at: f64,
    pub(crate) what: String,
}

/// All of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    pub(crate) points: Vec<Point>,
    pub(crate) events: Vec<Event>,
}

/// A figure of one process, or of the site, over time.
pub(crate) type Line = Vec<(f64, f64)>;

impl History {
    /// When the last figure was taken.
    pub(crate) fn length(&self) -> f64 {
        self.points.iter().map(|point| point.at).fold(0.0, f64::max)
    }

    /// A figure of somebody, by the lives that they had.
    pub(crate) fn lines(&self, who: &str, figure: &str) -> BTreeMap<u32, Line> {
        let mut lines: BTreeMap<u32, Line> = BTreeMap::new();
        for point in self.points.iter().filter(|point| point.who == who && point.figure == figure) {
            lines.entry(point.life).or_default().push((point.at, point.value));
        }
        lines
    }

    /// The same, whatever the life.
    pub(crate) fn line(&self, who: &str, figure: &str) -> Line {
        self.lines(who, figure).into_values().flatten().collect()
    }

    /// Names of the figures of somebody that begin so.
    pub(crate) fn figures(&self, who: &str, beginning: &str) -> Vec<String> {
        let wanted = self.points.iter().filter(|point| point.who == who && point.figure.starts_with(beginning));
        let names: std::collections::BTreeSet<&str> = wanted.map(|point| point.figure.as_str()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Which line is none of ours, and why.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut history = Self::default();
        let mut lines = (1..).zip(text.lines());
        let head = lines.next().map(|(_, line)| line).unwrap_or_default();
        if head != HEAD {
            return Err(format!("line 1: {head:?} is not the head of a soak's table, which is {HEAD:?}"));
        }
        for (number, line) in lines {
            history.take(line).map_err(|why| format!("line {number}: {why}"))?;
        }
        Ok(history)
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        let mut parts = line.splitn(5, ',');
        let mut part = |name: &str| parts.next().ok_or_else(|| format!("no {name}: {line:?}"));
        let at = number("seconds", part("seconds")?)?;
        let (who, life, figure, value) = (part("who")?, part("life")?, part("figure")?, part("value")?);
        if figure == EVENT {
            self.events.push(Event { at, what: value.to_owned() });
            return Ok(());
        }
        let life = life.parse().map_err(|_| format!("life: {life:?} is no whole number"))?;
        let value = number("value", value)?;
        self.points.push(Point { at, who: who.to_owned(), life, figure: figure.to_owned(), value });
        Ok(())
    }
}

fn number(name: &str, text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("{name}: {text:?} is no number"))
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2},{},{},{},{}", self.at, self.who, self.life, self.figure, self.value)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2},site,0,{EVENT},{}", self.at, self.what.replace(['\n', '\r'], " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let point = Point { at: 12.5, who: "a".into(), life: 2, figure: "rss_kb".into(), value: 20_480.25 };
        let event = Event { at: 13.0, what: "kill -9 a, \"active\"".into() };
        let text = format!("{HEAD}\n{point}\n{event}\n");
        let history = History::read(&text).unwrap();
        assert_eq!((history.points.as_slice(), history.events.as_slice()), (&[point][..], &[event][..]));
        assert_eq!(history.lines("a", "rss_kb")[&2], [(12.5, 20_480.25)]);
        assert!(history.line("b", "rss_kb").is_empty());
    }

    #[test]
    fn what_is_no_table_is_told_with_its_line() {
        let why = |text: &str| History::read(text).unwrap_err();
        assert!(why("seconds;who\n").starts_with("line 1"));
        assert!(why(&format!("{HEAD}\n1.0,a,1,rss_kb,5\n1.0,a,1,rss_kb,many\n")).starts_with("line 3: value"));
        assert!(why(&format!("{HEAD}\n1.0,a\n")).contains("no life"));
        assert!(why(&format!("{HEAD}\n1.0,a,1,rss_kb,NaN\n")).contains("NaN"));
    }
}
