//! What an editor shows: the real yaml-language-server, told of the schema by the manifest's first
//! line, as in any editor.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A language server with one manifest open.
struct Editor {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    directory: tempfile::TempDir,
    last: u64,
    /// What was published last about the manifest.
    diagnostics: Value,
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/language_server/node_modules/.bin/yaml-language-server");
    assert!(
        program.exists(),
        "{} is missing: run scripts/test, which installs it",
        program.display()
    );
    program
}

impl Editor {
    /// Opens a manifest whose first line leads to the committed schema.
    fn open(manifest: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/baudbot.schema.json");
        std::fs::copy(schema, directory.path().join("schema.json")).unwrap();
        Self::open_text(
            directory,
            &format!("# yaml-language-server: $schema=schema.json\n{manifest}"),
        )
    }

    fn open_text(directory: tempfile::TempDir, text: &str) -> Self {
        let mut server = Command::new(program())
            .arg("--stdio")
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let diagnostics = Value::Null;
        let mut editor = Self {
            server,
            input,
            output,
            directory,
            last: 0,
            diagnostics,
        };
        let root = format!("file://{}", editor.directory.path().display());
        editor.ask(
            "initialize",
            &json!({
                "processId": std::process::id(), "rootUri": root,
                "capabilities": {"textDocument": {"publishDiagnostics": {}, "hover": {"contentFormat": ["plaintext"]},
                    "completion": {"completionItem": {"snippetSupport": false}}}, "workspace": {"configuration": true}},
            }),
        );
        editor.tell("initialized", &json!({}));
        let uri = editor.uri();
        editor.tell(
            "textDocument/didOpen",
            &json!({"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}}),
        );
        while editor.diagnostics.is_null() {
            editor.hear();
        }
        editor
    }

    fn uri(&self) -> String {
        format!("file://{}/baudbot.yaml", self.directory.path().display())
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        self.input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Asks and waits for the answer.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.hear();
            if message["id"] == id && message.get("method").is_none() {
                assert!(message.get("error").is_none(), "{message}");
                return message["result"].clone();
            }
        }
    }

    /// Takes the next message; what the server asks is answered, what it publishes is kept.
    fn hear(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert_ne!(
                self.output.read_line(&mut line).unwrap(),
                0,
                "the server has ended"
            );
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut bytes = vec![0; length];
        self.output.read_exact(&mut bytes).unwrap();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        if let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) {
            let result = if method == "workspace/configuration" {
                // Nothing from the network: the schema is where the first line says.
                let items = message["params"]["items"].as_array().unwrap();
                let settings = items.iter().map(|item| match item["section"].as_str() {
                    Some("yaml") => json!({"validate": true, "hover": true, "completion": true,
                        "schemaStore": {"enable": false}}),
                    _ => Value::Null,
                });
                settings.collect()
            } else {
                Value::Null
            };
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
            self.send(&answer);
        }
        if message["method"] == "textDocument/publishDiagnostics" {
            self.diagnostics = message["params"]["diagnostics"].clone();
        }
        message
    }

    /// The line (from 1, the schema's line counted), the columns and the text of each mark.
    fn marks(&self) -> Vec<(u64, u64, u64, String)> {
        let number = |value: &Value| value.as_u64().unwrap();
        self.diagnostics
            .as_array()
            .unwrap()
            .iter()
            .map(|mark| {
                let (start, end) = (&mark["range"]["start"], &mark["range"]["end"]);
                let text = mark["message"].as_str().unwrap().to_owned();
                let (from, to) = (number(&start["character"]), number(&end["character"]));
                (number(&start["line"]) + 1, from + 1, to + 1, text)
            })
            .collect()
    }

    fn at(&self, line: u64, column: u64) -> Value {
        json!({"textDocument": {"uri": self.uri()}, "position": {"line": line - 1, "character": column - 1}})
    }

    /// What is offered at a place.
    fn offers(&mut self, line: u64, column: u64) -> Vec<String> {
        let at = self.at(line, column);
        let offered = self.ask("textDocument/completion", &at);
        let items = offered["items"].as_array().or(offered.as_array()).unwrap();
        items
            .iter()
            .map(|item| item["label"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What is shown at a place.
    fn hover(&mut self, line: u64, column: u64) -> String {
        let at = self.at(line, column);
        self.ask("textDocument/hover", &at)["contents"].to_string()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It may have ended; there is nothing else that it could have left.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_typo_a_wrong_value_and_a_missing_key_are_marked_where_they_stand() {
    let editor = Editor::open(
        "version: 1\nservices:\n  web:\n    comand: [x]\n    command: [x]\n    type: proces\n  db:\n    type: task\n",
    );
    let marks = editor.marks();
    let mark = |line: u64, part: &str| {
        marks
            .iter()
            .find(|(at, _, _, text)| *at == line && text.contains(part))
            .unwrap_or_else(|| panic!("no `{part}` on line {line}: {marks:#?}"))
    };
    let typo = mark(5, "comand");
    assert_eq!((typo.1, typo.2), (5, 11), "{typo:?}");
    let value = mark(7, "process");
    assert_eq!((value.1, value.2), (11, 17), "{value:?}");
    mark(8, "command");
}

#[test]
fn keys_and_values_are_offered() {
    let mut editor =
        Editor::open("version: 1\nservices:\n  web:\n    command: [x]\n    type: \n    re\n");
    let keys = editor.offers(7, 7);
    for key in ["ready", "restart"] {
        assert!(keys.iter().any(|offered| offered == key), "{key}: {keys:?}");
    }
    let values = editor.offers(6, 11);
    for value in ["process", "tmux", "task"] {
        assert!(
            values.iter().any(|offered| offered == value),
            "{value}: {values:?}"
        );
    }
    assert!(
        !values.iter().any(|offered| offered == "null"),
        "{values:?}"
    );
}

#[test]
fn a_hover_shows_the_fields_own_description() {
    let text = "version: 1\nservices:\n  web:\n    command: [x]\n    working_dir: /tmp\n    umask: '077'\n";
    let mut editor = Editor::open(text);
    let schema: Value = serde_json::from_str(&baudbot::manifest::schema::schema_text()).unwrap();
    for (line, field) in [(5, "command"), (6, "working_dir"), (7, "umask")] {
        let service = &schema["properties"]["services"]["additionalProperties"];
        let described = service["properties"][field]["description"]
            .as_str()
            .unwrap();
        // Enough to know it by; the server may break lines.
        let start: String = described
            .split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ");
        let shown = editor.hover(line, 6);
        assert!(
            shown.contains(&start),
            "{field}: `{start}` is not in {shown}"
        );
    }
}

#[test]
fn what_init_writes_works_offline() {
    let directory = tempfile::tempdir().unwrap();
    let init = Command::new(env!("CARGO_BIN_EXE_baudbot"))
        .arg("init")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        init.status.success(),
        "{}",
        String::from_utf8_lossy(&init.stderr)
    );
    let text = std::fs::read_to_string(directory.path().join("baudbot.yaml")).unwrap();
    let typo = format!("{text}\ntmuxx: {{}}\n");
    let lines = u64::try_from(typo.lines().count()).unwrap();
    let editor = Editor::open_text(directory, &typo);
    let marks = editor.marks();
    assert_eq!(marks.len(), 1, "{marks:#?}");
    assert_eq!(marks[0].0, lines);
    assert!(marks[0].3.contains("tmuxx"), "{marks:#?}");
}
