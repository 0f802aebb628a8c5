//! Text from a record is written by whoever made the call. Here it becomes harmless.

use unicode_general_category::{GeneralCategory, get_general_category as general_category};

/// `text` without control characters and marks that reorder, hide or cover text, at most `most`
/// characters long; a cut is shown.
pub fn clean(text: &str, most: usize) -> String {
    // Nearly all text is.
    if text.len() <= most && text.bytes().all(|byte| is_printable(byte.into())) {
        return text.to_owned();
    }
    // None at the beginning, where they would cover what stands before the text.
    let mut marks_left = 0;
    let mut shown = text.chars().filter(|c| !is_harmful(*c)).filter(move |c| {
        marks_left = if stacks(*c) { marks_left - 1 } else { MOST_MARKS };
        marks_left >= 0
    });
    let mut clean: String = shown.by_ref().take(most).collect();
    if shown.next().is_some() {
        clean.pop();
        clean.push('…');
    }
    clean
}

/// Marks on one letter, upon each other (UTS #39, "Optional Detection": no language needs more).
const MOST_MARKS: i64 = 4;

/// Whether it is drawn onto the letter before it.
fn stacks(c: char) -> bool {
    // A look at the tables for nearly no text.
    !c.is_ascii()
        && matches!(
            general_category(c),
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark
        )
}

/// Control characters, line separators, what Unicode has to be invisible (Unicode Character
/// Database, `Default_Ignorable_Code_Point`: fillers, joiners, variation selectors, tags, marks of
/// direction) or to frame a note, and the one letter that is blank, U+2800.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// `text` as SNS takes it for a subject: printable ASCII, not empty, at most `most` characters,
/// not beginning with a space (SNS API Reference, "Publish"). Where it is too long, `behind`, which
/// is its end, stays.
pub fn subject(text: &str, behind: &str, most: usize) -> String {
    let ascii = |text: &str| -> String {
        text.chars().map(|c| if is_printable(c) { c } else { '?' }).collect()
    };
    let cut = shorten(ascii(text).trim(), ascii(behind).trim_end(), most, "...");
    if cut.is_empty() { "regionwatch".to_owned() } else { cut }
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// `text` in the basic GSM 7-bit alphabet (3GPP TS 23.038), so that one message is one SMS. Where it
/// is too long, `behind`, which is its end, stays.
pub fn gsm(text: &str, behind: &str, most: usize) -> String {
    let basic =
        |text: &str| -> String { text.chars().map(|c| if is_gsm(c) { c } else { '?' }).collect() };
    shorten(&basic(text), &basic(behind), most, "...")
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

/// `text` and `behind` in at most `most` characters. `behind` is kept as long as it leaves room for
/// anything else.
pub fn shorten(text: &str, behind: &str, most: usize, mark: &str) -> String {
    let left = most.saturating_sub(behind.chars().count());
    if text.chars().count() <= left {
        return format!("{text}{behind}");
    }
    let kept = left.saturating_sub(mark.chars().count());
    text.chars().take(kept).chain(mark.chars()).chain(behind.chars()).take(most).collect()
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
    fn nothing_is_hidden_by_what_cannot_be_seen() {
        let invisible = [
            "\u{034F}",
            "\u{115F}",
            "\u{1160}",
            "\u{17B4}",
            "\u{180B}",
            "\u{2800}",
            "\u{3164}",
            "\u{FE00}",
            "\u{FE0F}",
            "\u{FFA0}",
            "\u{E0100}",
            "\u{E01EF}",
        ];
        for mark in invisible {
            assert_eq!(clean(&format!("ro{mark}ot{mark}"), 9), "root", "{mark:?}");
        }
    }

    #[test]
    fn marks_on_a_letter_are_few() {
        let stacked = |n: usize| format!("a{}b", "\u{0301}\u{20DD}".repeat(n));
        assert_eq!(clean(&stacked(2), 99), stacked(2));
        assert_eq!(clean(&stacked(500), 99), stacked(2));
        assert_eq!(clean("\u{0301}e\u{0301}", 99), "e\u{0301}");
        assert_eq!(clean("ที่ हिन्दी क्षत्रिय שָׁלוֹם Ấ", 99), "ที่ हिन्दी क्षत्रिय שָׁלוֹם Ấ");
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
        assert_eq!(subject(" é\n{x} ", "", 99), "??{x}");
        assert_eq!(subject("", "", 99), "regionwatch");
        assert_eq!(subject(&"x".repeat(200), "", 99).len(), 99);
        assert_eq!(subject("a long title", " (é) ", 10), "a l... (?)");
        assert_eq!(subject("x", &"y".repeat(200), 99).len(), 99);
        assert_eq!(gsm("a{b}é^~_@", "{", 160), "a?b????_@?");
        assert_eq!(gsm(&"x".repeat(200), " y", 160).len(), 160);
    }
}
