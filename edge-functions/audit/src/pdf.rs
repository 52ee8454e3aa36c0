//! A report to be printed: A4 across, a line an event, in one of the fonts that every reader has. Those know the letters
//! of ASCII for certain, so people stand in it by id and user name.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::audit_log::{Found, Report};
use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use crate::names::Names;

const WIDTH: f32 = 842.0;
const HEIGHT: f32 = 595.0;
const MARGIN: f32 = 28.0;
const SIZE: f32 = 6.5;
const LEADING: f32 = 9.0;
/// Of one page, below the head.
const LINES: usize = 56;
/// Column widths in characters; together what fits across at this size.
const COLUMNS: [(&str, usize); 7] = [
    ("recorded", 20),
    ("action", 24),
    ("by", 38),
    ("patient", 37),
    ("of", 38),
    ("outcome", 8),
    ("where", 30),
];

/// The document of a report.
pub fn document(
    report: &Report,
    names: &Names,
    zone: &TimeZone,
    (clinic, made): (&str, Timestamp),
) -> Vec<u8> {
    let mut lines: Vec<String> = report.events.iter().map(|found| line(found, names, zone)).collect();
    if report.more {
        lines.push("The list goes on in another document.".to_owned());
    }
    let missing = report.sources.iter().filter(|source| source.state != "answered");
    lines.extend(missing.map(|source| match source.state.as_str() {
        "copied" => {
            format!("{}: from its copy in another region; up to a second may be missing", source.node)
        }
        _ => format!("{}: could not be reached; what was read there is not in this list", source.node),
    }));
    let head = format!(
        "Audit events of {clinic}: {} of {}. Made {} ({})",
        report.events.len(),
        report.matched,
        zone.to_datetime(made).strftime("%Y-%m-%d %H:%M"),
        zone.iana_name().unwrap_or("UTC"),
    );
    pages(&head, &lines)
}

fn line(found: &Found, names: &Names, zone: &TimeZone) -> String {
    let event = &found.event;
    let at = Timestamp::from_millisecond(event.recorded_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let staff = event.agent.as_ref().and_then(|id| names.staff.get(id));
    let by = staff.map_or_else(
        || event.agent.clone().unwrap_or_else(|| event.agent_type.clone()),
        |staff| staff.username.clone(),
    );
    let change = match (&event.old, &event.new) {
        (Some(old), Some(new)) => format!("{old} > {new}"),
        _ => String::new(),
    };
    let of = match &event.entity {
        Some(_) if !change.is_empty() => change,
        Some(entity) => entity.clone(),
        None => event.entity_type.clone().unwrap_or_default(),
    };
    let cells = [
        zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        event.code.clone(),
        by,
        event.patient.clone().unwrap_or_default(),
        of,
        event.status.to_string(),
        format!("{} {}", event.region, event.node),
    ];
    row(cells.each_ref().map(String::as_str))
}

fn row(cells: [&str; COLUMNS.len()]) -> String {
    let cell = |(text, (_, width)): (&str, (&str, usize))| {
        let fits: String = text.chars().take(width - 1).collect();
        format!("{fits:<width$}")
    };
    cells.into_iter().zip(COLUMNS).map(cell).collect()
}

fn pages(head: &str, lines: &[String]) -> Vec<u8> {
    let pages: Vec<&[String]> = if lines.is_empty() { vec![&[]] } else { lines.chunks(LINES).collect() };
    let of = |number: usize| Ref::new(i32::try_from(number).unwrap_or(i32::MAX));
    let (catalog, tree, font, bold, info) = (of(1), of(2), of(3), of(4), of(5));
    let page = |place: usize| (of(6 + 2 * place), of(7 + 2 * place));
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree).lang(TextStr("en"));
    let kids = (0..pages.len()).map(|place| page(place).0);
    pdf.pages(tree).kids(kids).count(i32::try_from(pages.len()).unwrap_or(i32::MAX));
    for (id, name) in [(font, &b"Courier"[..]), (bold, b"Courier-Bold")] {
        pdf.type1_font(id).base_font(Name(name));
    }
    pdf.document_info(info).title(TextStr("Audit events")).producer(TextStr("Locum"));
    let titles = row(COLUMNS.map(|(title, _)| title));
    for (place, lines) in pages.iter().enumerate() {
        let (own, content) = page(place);
        let mut written = pdf.page(own);
        written.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(tree).contents(content);
        written.resources().fonts().pair(Name(b"F"), font).pair(Name(b"B"), bold);
        written.finish();
        let mut text = Content::new();
        text.begin_text().set_leading(LEADING).next_line(MARGIN, HEIGHT - MARGIN);
        text.set_font(Name(b"B"), SIZE + 1.0);
        let head = format!("{head}   page {} of {}", place + 1, pages.len());
        text.show(Str(ascii(&head).as_bytes())).next_line_using_leading().next_line_using_leading();
        text.set_font(Name(b"B"), SIZE).show(Str(titles.as_bytes())).next_line_using_leading();
        text.set_font(Name(b"F"), SIZE);
        for line in *lines {
            text.show(Str(ascii(line).as_bytes())).next_line_using_leading();
        }
        text.end_text();
        pdf.stream(content, &text.finish());
    }
    pdf.finish()
}

fn ascii(text: &str) -> String {
    text.chars().map(|letter| if (' '..='~').contains(&letter) { letter } else { '?' }).collect()
}
