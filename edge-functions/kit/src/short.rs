//! Short messages: how many of them a text is, and how it becomes few (3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24).

/// The default alphabet.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡\
                     ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those that take two places.
const EXTENDED: &str = "^{}\\[~]|€";
/// What can be said in fewer places without being misread.
const FOLDED: [(&str, &str); 16] = [
    ("áâãā", "a"),
    ("ÁÀÂÃĀ", "A"),
    ("êëēę", "e"),
    ("ÈÊËĒĘ", "E"),
    ("íîïī", "i"),
    ("ÍÌÎÏĪ", "I"),
    ("óôõō", "o"),
    ("ÓÒÔÕŌ", "O"),
    ("úûū", "u"),
    ("ÚÙÛŪ", "U"),
    ("ç", "c"),
    ("’‘`´", "'"),
    ("“”„«»", "\""),
    ("–—‑", "-"),
    ("\u{a0}\u{202f}\t", " "),
    ("…", "..."),
];

/// How many places of seven bits a text takes; `None`: it has characters that need sixteen.
fn septets(text: &str) -> Option<usize> {
    text.chars()
        .map(|c| match c {
            c if BASIC.contains(c) => Some(1),
            c if EXTENDED.contains(c) => Some(2),
            _ => None,
        })
        .sum()
}

/// How many messages a text is sent as.
pub fn segments(text: &str) -> usize {
    let (units, one, each) = match septets(text) {
        Some(septets) => (septets, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if units <= one { 1 } else { units.div_ceil(each) }
}

/// The text in the default alphabet, if that can be done by leaving accents and the like away; else as it is. One accent
/// would make two messages out of one.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match FOLDED.iter().find(|(from, _)| from.contains(c)) {
            Some((_, to)) => folded.push_str(to),
            None => folded.push(c),
        }
    }
    if septets(&folded).is_some() { folded } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_as_networks_do() {
        assert_eq!((segments(&"a".repeat(160)), segments(&"a".repeat(161))), (1, 2));
        assert_eq!((segments(&"a".repeat(306)), segments(&"a".repeat(307))), (2, 3));
        assert_eq!((segments(&"€".repeat(80)), segments(&"€".repeat(81))), (1, 2));
        assert_eq!((segments(&"ع".repeat(70)), segments(&"ع".repeat(71))), (1, 2));
        assert_eq!((segments(&"😀".repeat(35)), segments(&"😀".repeat(36))), (1, 2));
    }

    #[test]
    fn accents_cost_nothing_and_other_letters_stay() {
        assert_eq!(fold("Mañana, miércoles, más “aquí”…"), "Mañana, miércoles, mas \"aqui\"...");
        assert_eq!(fold("Clínica عيادة"), "Clínica عيادة", "what cannot be said without them keeps all");
    }
}
