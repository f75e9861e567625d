use super::value::plain_meaning;
use super::*;
use crate::manifest::source::Sources;

fn parsed(text: &str) -> (Rc<Node>, Sources) {
    let mut sources = Sources::default();
    let file = sources.add(std::path::Path::new("/m.yaml"), text.to_owned());
    let mut diagnostics = Vec::new();
    let node = parse(text, file, &mut diagnostics).unwrap();
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    (node, sources)
}

/// What the two libraries say of one document must agree, or one of them is not asked rightly.
#[test]
fn values_are_what_serde_yaml_takes_them_for() {
    let text = "
        words: [a, 'b c', \"1\", '', plain words, -x, a:b, ':', \"--- x\", ---, ..., 1.2.3, 0b2]
        nothing: [~, null, NULL, Null, , !!str ]
        bools: [true, TRUE, False, yes, no, on, off, y, n]
        numbers: [0, 1, -1, +1, 007, 0o17, 0x1F, 1_000]
        floats: [1.10, -0.5, .5, 5., 1e3, 1E-3, 1e999, .inf, -.inf, inf, nan, infinity, .]
        times: [12:30, 2024-01-01, 1h]
        folded: a
          b

          c
        literal: |
          12
        tagged: !!str 12
        merged: {<<: {a: 1.0, b: x}, b: 2}
    "
    .replace("        ", "")
    .replace(", , !!str ]", "]");
    let (node, _) = parsed(&text);
    let ours = serde_json::Value::from(&*node);
    let mut theirs: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    theirs.apply_merge().unwrap();
    assert_eq!(ours, serde_json::to_value(theirs).unwrap());
}

#[test]
fn scalars_keep_the_text_that_was_written_and_its_place() {
    let (node, sources) = parsed("port: 0x1F\nversion: 1.10 # twice\n");
    for (key, text, meaning) in [
        ("port", "0x1F", Meaning::Integer(31)),
        ("version", "1.10", Meaning::Float(1.1)),
    ] {
        let value = &node.entry(key).unwrap().value;
        let Data::Scalar(scalar) = &value.data else {
            panic!("{value:?}")
        };
        assert_eq!((scalar.text.as_str(), scalar.meaning), (text, meaning));
        assert_eq!(sources.text(value.span), text);
    }
}

#[test]
fn what_stands_for_itself_is_text() {
    for text in [
        "---", "...", "a: b", "- a", "#", "[a]", "&a", "*a", "!x", "%", "\u{feff}",
    ] {
        let meaning = plain_meaning(text);
        assert!(
            matches!(meaning, Meaning::Text | Meaning::Null),
            "{text}: {meaning:?}"
        );
    }
    assert_eq!(plain_meaning(&"9".repeat(10_000)), Meaning::Text);
    // No integer of ours, and a number all the same.
    for text in [
        "9223372036854775808",
        "18446744073709551616",
        "-9999999999999999999999",
    ] {
        assert_eq!(plain_meaning(text), Meaning::Float(text.parse().unwrap()));
    }
}

#[test]
fn what_is_printed_reads_as_what_it_was() {
    let value = serde_json::json!({
        "command": ["a", "1", "true", "null", "~", "", "x: y", "0x1F", "1.10", "two\nlines"],
        "number": 1.5, "none": null, "yes": "yes", "octal": "022", "flag": true,
    });
    let (node, _) = parsed(&print(&value).unwrap());
    assert_eq!(serde_json::Value::from(&*node), value);
}
