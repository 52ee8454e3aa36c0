//! A resource's text for people (<http://hl7.org/fhir/R4/narrative.html>, txt-1 and txt-2): XHTML that can do nothing.

/// Elements that a narrative may have: chapters 7 to 11 (but for 4 of chapter 9) and 15 of HTML 4.0, `a` and `img`.
const ELEMENTS: [&str; 61] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "menu",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "area",
    "map",
    "object",
];
/// Of those what is not taken all the same: they load or run something.
const REFUSED: [&str; 1] = ["object"];

/// Whether `text` is one `<div>` in the namespace of XHTML that closes what it opens, and holds nothing active.
pub(crate) fn is_harmless(text: &str) -> bool {
    let text = text.trim();
    if !text.starts_with("<div") || !text.contains("xmlns=\"http://www.w3.org/1999/xhtml\"") {
        return false;
    }
    let (mut open, mut rest, mut written) = (Vec::new(), text, false);
    while let Some(start) = rest.find('<') {
        let (before, tag) = rest.split_at(start);
        written |= !before.trim().is_empty();
        if open.is_empty() && !before.trim().is_empty() {
            return false;
        }
        if let Some(comment) = tag.strip_prefix("<!--") {
            let Some((_, behind)) = comment.split_once("-->") else { return false };
            rest = behind;
            continue;
        }
        let Some(end) = end_of_tag(tag) else { return false };
        let (inside, behind) = (&tag[1..end], &tag[end + 1..]);
        rest = behind;
        if let Some(name) = inside.strip_prefix('/') {
            if open.pop() != Some(name.trim_end()) || (open.is_empty() && !rest.trim().is_empty()) {
                return false;
            }
            continue;
        }
        let (inside, closed) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let name = inside.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        if !ELEMENTS.contains(&name)
            || REFUSED.contains(&name)
            || !attributes_are_harmless(&inside[name.len()..])
        {
            return false;
        }
        written |= name == "img";
        if !closed {
            open.push(name);
        }
        if open.len() > 64 {
            return false;
        }
    }
    open.is_empty() && written
}

/// The place of the `>` that ends a tag; one inside quotes does not.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (place, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(place),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn attributes_are_harmless(text: &str) -> bool {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, behind)) = rest.split_once('=') else { return false };
        let (name, behind) = (name.trim().to_ascii_lowercase(), behind.trim_start());
        let Some(quote) = behind.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return false };
        let Some((value, behind)) = behind[1..].split_once(quote) else { return false };
        let plain =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_'));
        let value: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        let value = value.to_ascii_lowercase();
        let active = name.starts_with("on")
            || ["javascript:", "vbscript:", "data:text", "data:image/svg", "expression(", "&#", "url("]
                .iter()
                .any(|scheme| value.contains(scheme));
        if name.is_empty() || !plain || active {
            return false;
        }
        rest = behind.trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_harmless;

    #[test]
    fn only_text_that_can_do_nothing() {
        let div = |inner: &str| format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{inner}</div>");
        for right in [
            "a",
            "<p>a<br/>b &lt; c</p>",
            "<a href=\"#x\" title='1 > 0'>a</a>",
            "<!-- x -->a",
            "<img src=\"#p\"/>",
        ] {
            assert!(is_harmless(&div(right)), "{right}");
        }
        for wrong in [
            "",
            " ",
            "<script>a</script>",
            "<p>a",
            "a</p>",
            "<p onclick=\"x\">a</p>",
            "<a href=\"java\nscript:x\">a</a>",
            "<a href=\"&#106;avascript:x\">a</a>",
            "<object data=\"x\">a</object>",
            "<iframe src=\"x\">a</iframe>",
            "<p class=x>a</p>",
            "<P>a</P>",
            "a</div><div>b",
            "<p title=\"x>a</p>",
        ] {
            assert!(!is_harmless(&div(wrong)), "{wrong}");
        }
        assert!(!is_harmless("<div>a</div>") && !is_harmless("a"));
    }
}
