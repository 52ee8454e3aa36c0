//! A report as a page: one file without scripts that any browser shows and any printer prints.

use std::fmt::Write;

use super::measure::Measure;
use super::report::{Lane, Report, Round};
use super::targets::Line;

const STYLE: &str = "
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; }
  th { border-bottom: 2px solid #888; } td { border-bottom: 1px solid #ddd; }
  td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
  .good { color: #12602d; } .bad { color: #a11212; font-weight: 600; }
  .verdict { font-size: 1.2rem; } .small { color: #555; font-size: .875rem; }
  svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #333; }
";

/// Of the chart, in its own units.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 150.0;
const LANE: f64 = 26.0;
const TOP: f64 = 20.0;
/// Before the fault, seconds.
const BEFORE: f64 = 2.0;

/// The whole page.
pub(super) fn of(report: &Report) -> String {
    let mut page = String::new();
    let title =
        format!("Drill: {} of {}, {}", escape(&report.drill), escape(&report.target), escape(&report.began));
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<h1>{title}</h1>\n"
    );
    page += &verdict(report);
    page += &figures(&report.lines);
    for round in &report.rounds {
        page += &section(round);
    }
    let _ = write!(
        page,
        "<p class=\"small\">Network {}, record group {}, regions {}; asked for by {}; until {}; locum {}. The report \
         beside this page is signed, and names this page's SHA-256: <code>locum drill verify</code> checks both.</p>\n\
         </body>\n</html>\n",
        escape(&report.zone),
        escape(&report.group),
        escape(&report.regions.join(", ")),
        escape(&report.by),
        escape(&report.ended),
        escape(&report.version),
    );
    page
}

fn verdict(report: &Report) -> String {
    if report.passed {
        return "<p class=\"verdict good\">Passed: everything was as promised.</p>\n".to_owned();
    }
    let broken = report.broken();
    let items: String = broken.iter().map(|what| format!("<li>{}</li>\n", escape(what))).collect();
    format!("<p class=\"verdict bad\">Failed.</p>\n<ul class=\"bad\">\n{items}</ul>\n")
}

fn figures(lines: &[Line]) -> String {
    let row = |line: &Line| {
        let shown =
            |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| number(value, &line.unit));
        let limit = line.limit.map_or_else(String::new, |limit| number(limit, &line.unit));
        let (class, word) = match (line.passed, line.limit) {
            (false, _) => ("bad", "failed"),
            (true, Some(_)) => ("good", "kept"),
            (true, None) => ("", ""),
        };
        format!(
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{limit}</td>\
             <td class=\"{class}\">{word}</td></tr>\n",
            escape(&line.title),
            shown(line.median),
            shown(line.worst),
        )
    };
    let rows: String = lines.iter().map(row).collect();
    format!(
        "<table>\n<tr><th>What</th><th class=\"n\">median</th><th class=\"n\">worst</th><th class=\"n\">at most</th>\
         <th></th></tr>\n{rows}</table>\n"
    )
}

fn section(round: &Round) -> String {
    let nodes = if round.nodes.is_empty() { "nothing".to_owned() } else { round.nodes.join(", ") };
    let led = match (round.led, round.led_control) {
        (true, true) => ", which led the record group and the control plane",
        (true, false) => ", which led the record group",
        (false, true) => ", which led the control plane",
        (false, false) => "",
    };
    let epochs = round.epochs;
    let rows: String = round
        .timeline
        .iter()
        .map(|moment| {
            format!("<tr><td class=\"n\">{:+.3} s</td><td>{}</td></tr>\n", moment.at, escape(&moment.what))
        })
        .collect();
    format!(
        "<h2>Round {}, {}</h2>\n<p>{}: {}{led}. {} changes acknowledged, {} lost, {} doubled, {} seen and gone. Epoch {} \
         before, {} after.</p>\n{}<details><summary>Everything that was seen</summary>\n<table>\n{rows}</table>\n\
         </details>\n",
        round.number,
        escape(&round.began),
        escape(&round.region),
        escape(&nodes),
        round.writes.acknowledged,
        round.writes.lost,
        round.writes.doubled,
        round.writes.went_back,
        epochs.before,
        epochs.after,
        chart(round),
    )
}

/// Time from left to right; a lane for the fault, and one for each edge host that shows where changes were
/// acknowledged through it.
fn chart(round: &Round) -> String {
    let end = round.ended_at.max(1.0);
    let x = |at: f64| LEFT + (at.clamp(-BEFORE, end) + BEFORE) / (end + BEFORE) * (WIDTH - LEFT);
    let lanes = round.lanes.len() + 1;
    let bottom = TOP + LANE * lanes as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"Timeline of round {}\">\n",
        bottom + 40.0,
        round.number
    );
    if let Some(healed) = round.healed_at {
        svg += &lane_name(0, "fault");
        svg += &bar(x(0.0), x(healed), 0, "#c0392b");
    }
    for (index, lane) in round.lanes.iter().enumerate() {
        svg += &writes(lane, index + 1, &x, end);
    }
    let step =
        [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0].into_iter().find(|step| end / step <= 12.0).unwrap_or(600.0);
    for tick in (0..=(end / step) as u32).map(|tick| f64::from(tick) * step) {
        let (x, y) = (x(tick), bottom + 14.0);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#bbb\" stroke-width=\"0.5\"/>\
             <text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{tick} s</text>"
        );
    }
    for measure in [Measure::Detect, Measure::Decide, Measure::Records] {
        let Some(Some(at)) = round.seconds.get(measure.key()) else { continue };
        let x = x(*at);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#1a1a1a\" stroke-dasharray=\"3 2\"/>\
             <text x=\"{x:.1}\" y=\"14\" text-anchor=\"middle\">{}</text>",
            measure.key()
        );
    }
    svg + "</svg>\n<p class=\"small\">Green: changes through this edge host were acknowledged. Pale: none for longer than a \
           second.</p>\n"
}

fn writes(lane: &Lane, index: usize, x: &impl Fn(f64) -> f64, end: f64) -> String {
    let mut text = lane_name(index, &lane.host);
    text += &bar(x(-BEFORE), x(end), index, "#2e8b57");
    for [from, to] in &lane.silences {
        text += &bar(x(*from), x(*to), index, "#f5d7d3");
    }
    text
}

fn lane_name(index: usize, name: &str) -> String {
    let y = TOP + LANE * index as f64 + LANE * 0.65;
    format!("<text x=\"0\" y=\"{y:.1}\">{}</text>\n", escape(name))
}

fn bar(from: f64, to: f64, index: usize, color: &str) -> String {
    let (y, width, height) = (TOP + LANE * index as f64 + 4.0, (to - from).max(0.0), LANE - 8.0);
    format!(
        "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{color}\"/>\n"
    )
}

fn number(value: f64, unit: &str) -> String {
    if unit.is_empty() { format!("{value}") } else { format!("{value:.2} {unit}") }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn a_page_stands_alone_and_runs_nothing() {
        let page = of(&sample());
        for never in ["<script", "http://", "https://", "<killed>", "javascript:", "<img", "<link"] {
            assert!(!page.contains(never), "{never}");
        }
        for always in [
            "Passed",
            "&lt;killed&gt; edge-us-west &amp; media",
            "212 changes",
            "<svg",
            "edge-us-east",
            "5.90 s",
        ] {
            assert!(page.contains(always), "{always} in {page}");
        }
        assert_eq!(page.matches("<td").count(), page.matches("</td>").count());
    }

    #[test]
    fn a_failure_stands_first() {
        let mut report = sample();
        report.rounds[0].writes.lost = 1;
        let page = of(&report.judged());
        let failed = page.find("Failed.").unwrap();
        assert!(failed < page.find("<table>").unwrap() && !page.contains("Passed"));
    }
}
