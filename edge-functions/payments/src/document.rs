//! Invoice and receipt to be printed: A4, in a font that every reader has. It knows the letters of western Europe
//! (Windows code page 1252); a name in others stands in the pages, and here as question marks.

use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use jiff::Timestamp;
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::ids::InvoiceId;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::Reply;
use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use crate::invoice::{Invoice, Line, Status};
use crate::ledger::{Account, Entry};
use crate::words::{Kind, Language, Words};

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const MARGIN: f32 = 64.0;
/// Where amounts end.
const AMOUNTS: f32 = WIDTH - MARGIN;
const SIZE: f32 = 10.5;
const LEADING: f32 = 17.0;

/// A line of the document: what it says, and the amount at its end.
struct Row {
    text: String,
    amount: String,
    bold: bool,
}

/// `GET /payments/invoices/{id}/document`.
pub(crate) async fn for_staff(context: &Context<'_>) -> Result<Reply, Problem> {
    let invoice = Invoice::find(context, context.path_id(InvoiceId::parse)?).await?;
    answer(context, &invoice).await
}

/// `GET /payments/visit-invoice/document`.
pub(crate) async fn for_patient(context: &Context<'_>) -> Result<Reply, Problem> {
    let invoice = Invoice::of_visit(context, context.visitor()?.appointment).await?;
    answer(context, &invoice).await
}

async fn answer(context: &Context<'_>, invoice: &Invoice) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let kind = query.required("kind", "invoice or receipt", Kind::parse)?;
    let language = query.optional("language", "en or es", Language::parse)?.unwrap_or(Language::English);
    query.finish()?;
    if kind == Kind::Receipt && invoice.balance().paid == 0 {
        let title = "Nothing was paid yet";
        return Err(Problem::new(StatusCode::CONFLICT, "nothing-paid", title));
    }
    let clinic = context.clinic().await?;
    let rows = rows(&clinic, invoice, kind, language.words())?;
    let mut reply = Reply::new(page(&clinic.name, title(invoice, kind, language.words()), &rows, language));
    let file = if kind == Kind::Invoice { "invoice" } else { "receipt" };
    let disposition = format!("attachment; filename=\"{file}-{}.pdf\"", invoice.number);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_str(&disposition).map_err(Problem::internal)?);
    context.audit(Action::InvoicePrinted, Some(&invoice.id));
    Ok(reply)
}

fn title(invoice: &Invoice, kind: Kind, words: &Words) -> String {
    let name = if kind == Kind::Invoice { words.invoice } else { words.receipt };
    format!("{name} {}", invoice.number)
}

fn rows(clinic: &Clinic, invoice: &Invoice, kind: Kind, words: &Words) -> Result<Vec<Row>, Problem> {
    let balance = invoice.balance();
    let day = |at: Timestamp| clinic.zone.to_datetime(at).strftime("%Y-%m-%d").to_string();
    let time = clinic.zone.to_datetime(invoice.start).strftime("%Y-%m-%d %H:%M");
    let plain = |text: String| Row { text, amount: String::new(), bold: false };
    let amount = |minor: i64| Ok::<_, Problem>(invoice.money(minor)?.to_string());
    let bold = |text: &str, amount: String| Row { text: text.to_owned(), amount, bold: true };
    let mut rows = vec![
        plain(format!("{}: {}", words.issued, day(invoice.issued))),
        plain(format!("{}: {}", words.patient, invoice.patient)),
        plain(format!(
            "{}: {time} ({}), {} {}",
            words.visit, clinic.time_zone, words.with, invoice.practitioner
        )),
        plain(String::new()),
    ];
    rows.extend(invoice.lines.iter().map(|line| item(line, &invoice.currency, words)));
    rows.push(bold(words.total, amount(invoice.lines.iter().map(|line| line.minor).sum())?));
    rows.push(plain(String::new()));
    for entry in invoice.entries.iter().filter(|entry| entry.debit.is_money() || entry.credit.is_money()) {
        let text = movement(entry, words, &day(entry.at));
        rows.push(Row { text, amount: amount(entry.minor)?, bold: false });
    }
    if kind == Kind::Invoice && invoice.status() == Status::Cancelled {
        rows.push(bold(words.cancelled, String::new()));
    } else if kind == Kind::Invoice {
        rows.push(bold(words.owed, amount(balance.owed())?));
    } else {
        rows.push(bold(words.paid, amount(balance.paid - balance.refunded)?));
    }
    if invoice.estimate {
        rows.push(plain(words.estimate.to_owned()));
    }
    Ok(rows)
}

fn item(line: &Line, currency: &str, words: &Words) -> Row {
    let text = match line.kind.as_str() {
        "minutes" => format!("{}: {} {} x {} {currency}", line.text, line.quantity, words.minutes, line.unit),
        "no-show" => words.no_show.to_owned(),
        _ => line.text.clone(),
    };
    Row { text, amount: format!("{} {currency}", line.amount), bold: false }
}

fn movement(entry: &Entry, words: &Words, day: &str) -> String {
    let (verb, account) =
        if entry.debit.is_money() { (words.paid, entry.debit) } else { (words.refunded, entry.credit) };
    let by = match account {
        Account::Cash => words.cash,
        Account::Terminal => words.terminal,
        Account::Transfer => words.transfer,
        _ => words.by_card,
    };
    format!("{verb} {day} {by}")
}

fn page(clinic: &str, title: String, rows: &[Row], language: Language) -> Vec<u8> {
    let [catalog, tree, font, bold, info, own, content] = [1, 2, 3, 4, 5, 6, 7].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree).lang(TextStr(language.words().code));
    pdf.pages(tree).kids([own]).count(1);
    for (id, name) in [(font, &b"Helvetica"[..]), (bold, b"Helvetica-Bold")] {
        pdf.type1_font(id).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    pdf.document_info(info).title(TextStr(&title)).producer(TextStr("Locum"));
    let mut written = pdf.page(own);
    written.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(tree).contents(content);
    written.resources().fonts().pair(Name(b"F"), font).pair(Name(b"B"), bold);
    written.finish();
    let mut text = Content::new();
    let mut y = HEIGHT - MARGIN;
    let mut show = |name: &[u8], size: f32, (x, y): (f32, f32), line: &str| {
        text.begin_text().set_font(Name(name), size).next_line(x, y);
        text.show(Str(&encoded(line))).end_text();
    };
    show(b"B", 14.0, (MARGIN, y), clinic);
    y -= 2.0 * LEADING;
    show(b"B", 18.0, (MARGIN, y), &title);
    y -= 2.0 * LEADING;
    for row in rows {
        let font: &[u8] = if row.bold { b"B" } else { b"F" };
        show(font, SIZE, (MARGIN, y), &cut(&row.text));
        show(font, SIZE, (AMOUNTS - width(&row.amount), y), &row.amount);
        y -= LEADING;
    }
    pdf.stream(content, &text.finish());
    pdf.finish()
}

/// What fits before the amount.
fn cut(text: &str) -> String {
    text.chars().take(78).collect()
}

/// Of digits and capitals in Helvetica: all digits are as wide, the rest nearly.
fn width(amount: &str) -> f32 {
    let letter = |c: char| match c {
        '0'..='9' => 0.556,
        'A'..='Z' => 0.70,
        '.' | ' ' => 0.278,
        _ => 0.333,
    };
    amount.chars().map(letter).sum::<f32>() * SIZE
}

/// In code page 1252, as far as its letters are Unicode's own.
fn encoded(text: &str) -> Vec<u8> {
    let letter = |c: char| match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).unwrap_or(b'?'),
        '€' => 0x80,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '–' => 0x96,
        '—' => 0x97,
        'Š' => 0x8a,
        'š' => 0x9a,
        'Ž' => 0x8e,
        'ž' => 0x9e,
        'Œ' => 0x8c,
        'œ' => 0x9c,
        _ => b'?',
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_western_europe_are_kept() {
        assert_eq!(encoded("Zoë Núñez €5"), b"Zo\xeb N\xfa\xf1ez \x805");
        assert_eq!(encoded("李"), b"?");
    }
}
