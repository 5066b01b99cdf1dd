//! All of a run in one file: a page that needs no other, with what was judged and a plot for each kind of figure.

use super::history::{History, Line};
use super::judge::{CONTROL, Finding, NODES, Verdict, overall};

/// Size of a plot, and what is left of it for its axes.
const SIZE: (f64, f64) = (900.0, 220.0);
const MARGIN: (f64, f64, f64, f64) = (56.0, 10.0, 12.0, 24.0);
/// Colours that people tell apart, also those who see fewer (after Okabe and Ito).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#b8860b"];
/// Points of a line at most: more cannot be seen.
const POINTS_MAX: usize = 900;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#14181d;--muted:#56606c;--line:#d8dde3;--bad:#b3123f;--good:#0f766e}\
@media(prefers-color-scheme:dark){:root{--bg:#0e1216;--fg:#e7ebf0;--muted:#9aa6b3;--line:#2c353f;--bad:#ff5f86;--good:#2db8a4}}\
body{margin:1.5rem auto;max-width:60rem;padding:0 1rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .2rem}svg{width:100%;height:auto;display:block}\
svg text{fill:var(--muted);font-size:11px}.axis{stroke:var(--line)}.mark{stroke:var(--muted);stroke-dasharray:2 3;opacity:.7}\
.kill{stroke:var(--bad)}.half{fill:var(--line);opacity:.25}path{fill:none;stroke-width:1.3;stroke-linejoin:round}\
table{border-collapse:collapse;font-size:.88rem;width:100%}td,th{padding:.15rem .6rem;border-bottom:1px solid var(--line);text-align:right}\
td:first-child,th:first-child,td:last-child{text-align:left}.bad{color:var(--bad);font-weight:650}.good{color:var(--good)}\
.key{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.82rem;color:var(--muted)}.key i{display:inline-block;width:.9rem;height:.2rem;\
margin-right:.35rem;vertical-align:middle}p{color:var(--muted);margin:.3rem 0}details{margin-top:1.5rem}";

/// A line with its name.
struct Named {
    name: String,
    /// One for each life: they are not joined.
    parts: Vec<Line>,
}

/// The page.
pub(crate) fn page(history: &History, findings: &[Finding], told: &str) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>hb soak</title><style>{STYLE}</style>\
         <h1>hb under a day's telemetry</h1><p>{}</p><h2>Verdict: {}</h2>",
        escaped(told),
        shown(&overall(findings))
    );
    table(&mut page, findings);
    page.push_str(
        "<p>Shaded: the second half, over which growth is judged. Dashed: what was done; red where a process was killed. Lines are broken where a \
         process ended and another began.</p>",
    );
    let nodes = |figure: &str| NODES.map(|node| of_node(history, node, figure)).into_iter().collect::<Vec<_>>();
    let site = |figure: &str| Named { name: figure.to_owned(), parts: vec![history.line("site", figure)] };
    let disk = history.figures("site", "disk.").iter().map(|figure| site(figure)).collect();
    let plots = [
        ("Resident memory, MB", nodes("rss_mb")),
        ("Anonymous memory (heap and stacks), MB", nodes("anon_mb")),
        ("Open descriptors", nodes("descriptors")),
        ("Threads", nodes("threads")),
        ("Disk, MB", disk),
        ("Records in the watch's journal", vec![site("records")]),
        ("From the end of a cycle to its record, ms", vec![site("record_ms")]),
        ("Making a record durable, mean of each span between two looks, ms", nodes("commit_ms")),
        ("The same for a supervisor's record, ms", nodes("supervisor_commit_ms")),
        ("Answer of the API (list of agents), ms", nodes("api_ms")),
        ("Answer to an agent's beat, when it is durable, ms", vec![site("beat_ms")]),
        ("Control: the machine makes 4 kB durable, ms", vec![site(CONTROL)]),
        ("Control: load of the machine", vec![site("machine.load")]),
        ("Which node is active (1)", nodes("active")),
    ];
    for (title, lines) in plots {
        plot(&mut page, history, title, &lines);
    }
    page.push_str("<details><summary>What was done</summary><ol>");
    for event in &history.events {
        page.push_str(&format!("<li>{:.0} s: {}</li>", event.at, escaped(&event.what)));
    }
    page.push_str("</ol></details></html>\n");
    page
}

fn of_node(history: &History, node: &str, figure: &str) -> Named {
    Named { name: node.to_owned(), parts: history.lines(node, figure).into_values().collect() }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Holds => "<span class=\"good\">no drift</span>".into(),
        Verdict::Drifts => "<span class=\"bad\">something drifts</span>".into(),
        Verdict::Open(why) => format!("<span>no drift in what could be judged; {}</span>", escaped(why)),
    }
}

fn table(page: &mut String, findings: &[Finding]) {
    page.push_str(
        "<table><tr><th>figure</th><th>before</th><th>after</th><th>more by</th><th>allowed</th><th></th></tr>",
    );
    for one in findings {
        let class = match one.verdict {
            Verdict::Holds => "good",
            Verdict::Drifts => "bad",
            Verdict::Open(_) => "",
        };
        let number = |value: f64| if value.is_finite() { format!("{value:.2} {}", one.unit) } else { "–".into() };
        let (before, after, growth, allowed) =
            (number(one.before), number(one.after), number(one.growth()), number(one.allowed));
        let (what, verdict) = (escaped(&one.what), escaped(&one.verdict.to_string()));
        page.push_str(&format!("<tr><td>{what}</td><td>{before}</td><td>{after}</td><td>{growth}</td><td>{allowed}</td><td class=\"{class}\">{verdict}</td></tr>"
        ));
    }
    page.push_str("</table>");
}

fn plot(page: &mut String, history: &History, title: &str, lines: &[Named]) {
    let values = || lines.iter().flat_map(|line| &line.parts).flatten().map(|(_, value)| *value);
    let top = values().fold(0.0, f64::max);
    if values().next().is_none() {
        return;
    }
    let scale = Scale { length: history.length().max(1.0), top: round_up(top) };
    page.push_str(&format!("<h2>{}</h2><div class=\"key\">", escaped(title)));
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let newest = line.parts.last().and_then(|part| part.last()).map_or(f64::NAN, |(_, value)| *value);
        page.push_str(&format!(
            "<span><i style=\"background:{colour}\"></i>{} ({newest:.2} at the end)</span>",
            escaped(&line.name)
        ));
    }
    let (width, height) = SIZE;
    page.push_str(&format!(
        "</div><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    ));
    let half = scale.x(scale.length / 2.0);
    page.push_str(&format!(
        "<rect class=\"half\" x=\"{half:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
        MARGIN.1,
        scale.x(scale.length) - half,
        scale.y(0.0) - MARGIN.1
    ));
    axes(page, &scale);
    for event in &history.events {
        let class = if event.what.starts_with("kill") { "mark kill" } else { "mark" };
        let (x, low) = (scale.x(event.at), scale.y(0.0));
        let what = escaped(&event.what);
        page.push_str(&format!("<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{low:.1}\"><title>{what}</title></line>",
            MARGIN.1
        ));
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        for part in line.parts.iter().filter(|part| !part.is_empty()) {
            page.push_str(&format!("<path stroke=\"{colour}\" d=\"{}\"/>", path(part, &scale)));
        }
    }
    page.push_str("</svg>");
}

struct Scale {
    length: f64,
    top: f64,
}

impl Scale {
    fn x(&self, at: f64) -> f64 {
        MARGIN.0 + at / self.length * (SIZE.0 - MARGIN.0 - MARGIN.2)
    }

    fn y(&self, value: f64) -> f64 {
        SIZE.1 - MARGIN.3 - value / self.top * (SIZE.1 - MARGIN.3 - MARGIN.1)
    }
}

fn axes(page: &mut String, scale: &Scale) {
    for step in 0..=4_u8 {
        let value = scale.top * f64::from(step) / 4.0;
        let (left, right, y) = (MARGIN.0, SIZE.0 - MARGIN.2, scale.y(value));
        let figure = if scale.top < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        page.push_str(&format!(
            "<line class=\"axis\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{figure}</text>",
            left - 6.0,
            y + 4.0
        ));
        let at = scale.length * f64::from(step) / 4.0;
        let told = if scale.length > 600.0 { format!("{:.0} min", at / 60.0) } else { format!("{at:.0} s") };
        let anchor = if step == 4 { "end" } else { "middle" };
        page.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{told}</text>",
            scale.x(at),
            SIZE.1 - 6.0
        ));
    }
}

/// The points of a line; of many that stand for one place the largest, so that nothing high is lost.
fn path(part: &[(f64, f64)], scale: &Scale) -> String {
    let many = part.len().div_ceil(POINTS_MAX).max(1);
    let mut path = String::new();
    for (number, group) in part.chunks(many).enumerate() {
        let Some((at, _)) = group.first() else { continue };
        let value = group.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
        let letter = if number == 0 { 'M' } else { 'L' };
        path.push_str(&format!("{letter}{:.1} {:.1}", scale.x(*at), scale.y(value)));
    }
    path
}

/// The next of 1, 2, 2.5, 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|times| times * power).find(|top| *top >= value).unwrap_or(value)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::history::{Event, Point};
    use crate::soak::judge::judge;

    #[test]
    fn a_page_has_all_plots_with_their_lines_and_needs_nothing_else() {
        let mut history = History::default();
        for step in 0..3_000_u32 {
            let at = f64::from(step);
            let mut put = |who: &str, life: u32, figure: &str, value: f64| {
                history.points.push(Point { at, who: who.into(), life, figure: figure.into(), value });
            };
            put("a", 1 + step / 1_500, "rss_mb", if step == 700 { 77.0 } else { 30.0 });
            put("site", 0, "disk.journal_mb", 2.0);
        }
        history.events.push(Event { at: 1_500.0, what: "kill -9 <a>".into() });
        let page = page(&history, &judge(&history), "a & b");
        assert_eq!(page.matches("<svg").count(), 2, "what was not measured is not drawn");
        assert_eq!(page.matches("<path").count(), 3, "a line for each life");
        assert!(page.contains("a &amp; b") && page.contains("kill -9 &lt;a&gt;"));
        assert!(!page.contains("http") && !page.contains("<script"));
        let scale = Scale { length: 2_999.0, top: 100.0 };
        let path = path(&history.lines("a", "rss_mb")[&1], &scale);
        assert!(path.contains(&format!(" {:.1}", scale.y(77.0))), "a spike is not thinned away");
    }

    #[test]
    fn axes_end_at_round_figures() {
        let tops = [0.0, 0.9, 1.0, 17.0, 22.0, 260.0].map(|value| round_up(value).to_string());
        assert_eq!(tops, ["1", "1", "1", "20", "25", "500"]);
    }
}
