//! TOML values with their places, taken by kind; every fault is collected.
//!
//! What a key means is [`super::file`]'s business. Here a value is what was wanted, or there is a
//! fault that says what stands in its place, where, and what to write.

use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Patterns;
use super::fault::{Place, PolicyFault};
use super::file::POLICY_KEYS;
use super::shape::Shape;

/// A file while it is read.
pub(super) struct Reader<'t> {
    pub(super) file: Arc<str>,
    pub(super) text: &'t str,
    pub(super) faults: Vec<PolicyFault>,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// A value and where it stands.
pub(super) type Item<'v, 't> = &'v Spanned<DeValue<'t>>;

/// Something, and where it stands. Where it stands does not make it another thing.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &str, text: &'t str) -> Self {
        let behind_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = [0].into_iter().chain(behind_breaks).collect();
        Reader { file: file.into(), text, faults: Vec::new(), lines }
    }

    pub(super) fn string(&mut self, item: Item<'_, 't>) -> Option<String> {
        let text = item.get_ref().as_str().map(str::to_owned);
        match (&text, item.get_ref().as_integer()) {
            (Some(_), _) => {}
            (None, Some(number)) => {
                let hint = format!("write \"{}\"", number.as_str());
                self.fault(item.span(), "a string is wanted here".to_owned(), Some(&hint));
            }
            (None, None) => self.fault_type(item, "a string"),
        }
        text
    }

    pub(super) fn bool(&mut self, item: Item<'_, 't>) -> Option<bool> {
        let flag = item.get_ref().as_bool();
        if flag.is_none() {
            self.fault_type(item, "true or false");
        }
        flag
    }

    pub(super) fn date(&mut self, item: Item<'_, 't>) -> Option<Date> {
        let date = item.get_ref().as_datetime().and_then(|datetime| match datetime.time {
            None => datetime.date,
            Some(_) => None,
        });
        let date = date.and_then(|date| {
            let (year, month) = (i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?);
            Date::new(year, month, i8::try_from(date.day).ok()?).ok()
        });
        if date.is_none() {
            self.fault_type(item, "a date such as 2026-12-31, without quotes");
        }
        date
    }

    /// The elements of a list; a single value is not taken for one.
    pub(super) fn items<'v>(&mut self, item: Item<'v, 't>) -> Vec<Item<'v, 't>> {
        if let Some(array) = item.get_ref().as_array() {
            return array.iter().collect();
        }
        match item.get_ref().as_str() {
            Some(text) => {
                let hint = format!("write [{}]", serde_json::Value::from(text));
                self.fault(item.span(), "a list is wanted here".to_owned(), Some(&hint));
            }
            None => self.fault_type(item, "a list"),
        }
        Vec::new()
    }

    pub(super) fn strings(&mut self, item: Item<'_, 't>) -> Vec<At<String>> {
        let mut strings = Vec::new();
        for element in self.items(item) {
            if let Some(value) = self.string(element) {
                strings.push(self.at(element.span(), value));
            }
        }
        strings
    }

    /// A list of patterns, of which each must be possible.
    pub(super) fn patterns_of(
        &mut self,
        table: &DeTable<'t>,
        key: &str,
        shape: &Shape,
    ) -> Option<Patterns> {
        let item = self.filled(table, key)?;
        let strings = self.strings(item);
        for At { place, value } in strings.iter().filter(|at| !(shape.holds)(at.value.trim())) {
            let what = format!("`{value}` {}", shape.fault);
            self.fault_at(place.clone(), what, Some(shape.hint));
        }
        Some(Patterns::new(strings.iter().map(|string| string.value.trim())))
    }

    /// The value of a key where it is there; an empty list or table is a fault.
    pub(super) fn filled<'v>(&mut self, table: &'v DeTable<'t>, key: &str) -> Option<Item<'v, 't>> {
        let item = get(table, key)?;
        let list_is_empty = item.get_ref().as_array().is_some_and(|list| list.is_empty());
        let table_is_empty = item.get_ref().as_table().is_some_and(DeTable::is_empty);
        if list_is_empty || table_is_empty {
            let hint = "name something, or leave the key out";
            self.fault(item.span(), format!("`{key}` is empty"), Some(hint));
        }
        Some(item)
    }

    pub(super) fn choice<T: Clone>(
        &mut self,
        item: Item<'_, 't>,
        words: &[(&str, T)],
    ) -> Option<T> {
        let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
        let Some(word) = item.get_ref().as_str() else {
            self.fault_type(item, &format!("one of \"{}\"", known.join("\", \"")));
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(known, _)| *known == word) {
            return Some(value.clone());
        }
        let hint = match nearest(word, &known) {
            Some(nearest) => format!("did you mean `{nearest}`? It is one of {}", known.join(", ")),
            None => format!("it is one of {}", known.join(", ")),
        };
        self.fault(item.span(), format!("`{word}` is unknown here"), Some(&hint));
        None
    }

    pub(super) fn choice_of<T: Clone>(
        &mut self,
        table: &DeTable<'t>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<At<T>> {
        let item = get(table, key)?;
        let value = self.choice(item, words)?;
        Some(self.at(item.span(), value))
    }

    pub(super) fn required(
        &mut self,
        table: &DeTable<'t>,
        key: &str,
        span: Range<usize>,
    ) -> Option<String> {
        let text = match get(table, key) {
            Some(item) => self.string(item)?,
            None => String::new(),
        };
        if text.trim().is_empty() {
            let hint = match key {
                "reason" => "say in a few words why it is there",
                "id" => "give it a name of letters, digits and -_.",
                _ => "say in a few words what it shows",
            };
            self.fault(span, format!("`{key}` is missing"), Some(hint));
            return None;
        }
        Some(text)
    }

    pub(super) fn table<'v>(&mut self, item: Item<'v, 't>) -> Option<&'v DeTable<'t>> {
        let table = item.get_ref().as_table();
        if table.is_none() {
            self.fault_type(item, "a table");
        }
        table
    }

    pub(super) fn table_of<'v>(
        &mut self,
        table: &'v DeTable<'t>,
        key: &str,
    ) -> Option<&'v DeTable<'t>> {
        self.table(get(table, key)?)
    }

    pub(super) fn tables_of<T>(
        &mut self,
        table: &DeTable<'t>,
        key: &str,
        read: impl Fn(&mut Self, &DeTable<'t>, Range<usize>) -> Option<T>,
    ) -> Vec<At<T>> {
        let mut read_tables = Vec::new();
        let Some(item) = get(table, key) else { return read_tables };
        if item.get_ref().is_table() {
            let what = format!("`{key}` is one table here, and wanted are several");
            self.fault(item.span(), what, Some(&format!("write [[{key}]]")));
            return read_tables;
        }
        for element in self.items(item) {
            let Some(table) = self.table(element) else { continue };
            if let Some(value) = read(self, table, element.span()) {
                read_tables.push(self.at(element.span(), value));
            }
        }
        read_tables
    }

    pub(super) fn known_keys(&mut self, table: &DeTable<'t>, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let belongs_above = POLICY_KEYS.contains(&key.get_ref().as_ref());
            let hint = match nearest(key.get_ref(), known) {
                _ if belongs_above => "as a key of the whole policy it stands before the first \
                                       [header]"
                    .to_owned(),
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.fault(key.span(), format!("unknown key `{}`", key.get_ref()), Some(&hint));
        }
    }

    pub(super) fn fault_type(&mut self, item: Item<'_, 't>, wanted: &str) {
        let what = format!("{} stands here", with_article(item.get_ref().type_str()));
        self.fault(item.span(), what, Some(&format!("wanted is {wanted}")));
    }

    pub(super) fn fault(&mut self, span: Range<usize>, what: String, hint: Option<&str>) {
        self.fault_at(self.place(span), what, hint);
    }

    pub(super) fn fault_at(&mut self, place: Place, what: String, hint: Option<&str>) {
        self.faults.push(PolicyFault { place, what, hint: hint.map(str::to_owned) });
    }

    pub(super) fn at<T>(&self, span: Range<usize>, value: T) -> At<T> {
        At { place: self.place(span), value }
    }

    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let line = self.lines.partition_point(|begin| *begin <= span.start);
        let begin = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(begin..span.start).unwrap_or_default();
        Place { file: self.file.clone(), line, column: before.chars().count() + 1 }
    }
}

/// The value of a key.
pub(super) fn get<'v, 't>(table: &'v DeTable<'t>, key: &str) -> Option<Item<'v, 't>> {
    table.get(key)
}

/// The known word that was probably meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let similar = known.iter().map(|known| (strsim::jaro_winkler(word, known), *known));
    let best = similar.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.8).then_some(best.1)
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {kind}")
}
