//! Text from a record is written by whoever made the call. Here it becomes harmless.

/// `text` without control characters and marks that reorder or hide text, at most `most`
/// characters long; a cut is shown.
pub fn clean(text: &str, most: usize) -> String {
    let mut shown = text.chars().filter(|c| !is_harmful(*c));
    let mut clean: String = shown.by_ref().take(most).collect();
    if shown.next().is_some() {
        clean.pop();
        clean.push('…');
    }
    clean
}

/// Control characters, line separators, and what Unicode calls bidirectional or invisible
/// formatting (UAX #9, UTS #39).
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// `text` as SNS takes it for a subject: printable ASCII, not empty, at most `most` characters,
/// not beginning with a space (SNS API Reference, "Publish").
pub fn subject(text: &str, most: usize) -> String {
    let ascii: String = text.chars().map(|c| if is_printable(c) { c } else { '?' }).collect();
    let cut = shorten(ascii.trim(), most, "...");
    if cut.is_empty() { "regionwatch".to_owned() } else { cut }
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// `text` in the basic GSM 7-bit alphabet (3GPP TS 23.038), so that one message is one SMS.
pub fn gsm(text: &str, most: usize) -> String {
    let basic: String = text.chars().map(|c| if is_gsm(c) { c } else { '?' }).collect();
    shorten(&basic, most, "...")
}

/// The part of the alphabet that is also ASCII and takes one place each.
fn is_gsm(c: char) -> bool {
    c.is_ascii_alphanumeric() || " @$!\"#%&'()*+,-./:;<=>?_".contains(c)
}

/// `text` as it may stand in a chat's Markdown: for every character that Slack's or Teams' would
/// interpret there is another that looks like it. Where a word goes on behind it, `_`, `@` and `#`
/// mean nothing and stay: names and addresses hold them.
pub fn plain(text: &str) -> String {
    let mut before = ' ';
    let mut plain = String::with_capacity(text.len());
    let mut behind = text.chars().peekable();
    while let Some(c) = behind.next() {
        let next = behind.peek().copied().unwrap_or(' ');
        let inside = before.is_alphanumeric() && next.is_alphanumeric();
        plain.push(if inside && is_of_words(c) { c } else { look_alike(c, next) });
        before = c;
    }
    plain
}

fn is_of_words(c: char) -> bool {
    matches!(c, '_' | '@' | '#')
}

/// A character that is no markup. Links begin with `://` or `www.`, and mentions in Slack with `<`.
fn look_alike(c: char, next: char) -> char {
    match c {
        '*' => '\u{2217}',
        '_' => '\u{2017}',
        '~' => '\u{223C}',
        '#' => '\u{FF03}',
        '@' => '\u{FF20}',
        '|' => '\u{00A6}',
        '&' => '\u{FF06}',
        '\\' => '\u{2216}',
        '[' => '(',
        ']' => ')',
        ':' if next == '/' => '\u{2236}',
        _ => no_code_end(c),
    }
}

/// `text` as it may stand in a code span or a code block: with nothing that ends it, and nothing
/// that Slack would take for a mention.
pub fn code(text: &str) -> String {
    text.chars().map(no_code_end).collect()
}

fn no_code_end(c: char) -> char {
    match c {
        '`' => '\'',
        '<' => '\u{2039}',
        '>' => '\u{203A}',
        _ => c,
    }
}

fn shorten(ascii: &str, most: usize, mark: &str) -> String {
    if ascii.chars().count() <= most {
        return ascii.to_owned();
    }
    let kept = most.saturating_sub(mark.len());
    ascii.chars().take(kept).chain(mark.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_harmless() {
        assert_eq!(clean("a\r\nb\u{202E}c\u{200B}d\u{7}", 10), "abcd");
        assert_eq!(clean("Ünïcode stays", 7), "Ünïcod…");
        assert_eq!(clean("<b>", 7), "<b>");
    }

    #[test]
    fn chats_are_told_no_markup() {
        assert_eq!(
            plain("data_pipeline by mateo@example.com"),
            "data_pipeline by mateo@example.com"
        );
        assert_eq!(plain("*b* _i_ ~s~ `c` # h"), "∗b∗ ‗i‗ ∼s∼ 'c' ＃ h");
        assert_eq!(plain("[t](https://x) <!here> @here"), "(t)(https∶//x) ‹!here› ＠here");
        assert_eq!(plain("a|b \\* &lt;"), "a¦b ∖∗ ＆lt;");
        assert_eq!(code("`<!here>` *x*"), "'‹!here›' *x*");
    }

    #[test]
    fn subjects_and_sms_keep_to_their_alphabets() {
        assert_eq!(subject(" é\n{x} ", 99), "??{x}");
        assert_eq!(subject("", 99), "regionwatch");
        assert_eq!(subject(&"x".repeat(200), 99).len(), 99);
        assert_eq!(gsm("a{b}é^~_@", 160), "a?b????_@");
        assert_eq!(gsm(&"x".repeat(200), 160).len(), 160);
    }
}
