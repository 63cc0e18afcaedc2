//! Fenced blocks of a guide.

/// What is done with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `sh`: commands that end, with this exit code.
    Shell { exit: i32 },
    /// `sh eventually`: commands that are repeated until they do what the guide says.
    Eventually,
    /// `sh server`: programs that run until the next such block.
    Server,
    /// `python`: a program, with the packages of this file in `e2e/clients`; `python X` has those of its own.
    Python { requirements: String },
    /// `sh manual`: commands for the reader alone.
    Manual,
    /// Any other language: nothing to run.
    Shown,
}

/// A block, and what the guide says that it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Of its first fence.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) answer: Option<String>,
}

fn kind(info: &str) -> Result<Kind, String> {
    let mut words = info.split_whitespace();
    let language = words.next().ok_or("a fence needs a language, like sh or text")?;
    let rest: Vec<_> = words.collect();
    match (language, rest.as_slice()) {
        ("sh", []) => Ok(Kind::Shell { exit: 0 }),
        ("sh", ["eventually"]) => Ok(Kind::Eventually),
        ("sh", ["server"]) => Ok(Kind::Server),
        ("sh", ["manual"]) => Ok(Kind::Manual),
        ("sh", [exit]) => exit
            .strip_prefix("exit=")
            .and_then(|code| code.parse().ok())
            .map(|exit| Kind::Shell { exit })
            .ok_or(format!("unknown word {exit:?} after sh")),
        ("python", []) => Ok(python("requirements.txt")),
        ("python", ["kserve"]) => Ok(python("requirements-kserve.txt")),
        (_, []) => Ok(Kind::Shown),
        _ => Err(format!("unknown words after the language: {info:?}")),
    }
}

fn python(requirements: &str) -> Kind {
    Kind::Python {
        requirements: requirements.to_owned(),
    }
}

/// All blocks of a text. An `output` block belongs to the one before it.
pub(super) fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut found: Vec<Block> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let mut content = String::new();
        loop {
            let (_, line) = lines.next().ok_or(format!("{number}: the fence is not closed"))?;
            if line.trim() == "```" {
                break;
            }
            content.push_str(line);
            content.push('\n');
        }
        if info.trim() == "output" {
            let before = found.last_mut().filter(|block| block.answer.is_none());
            let before = before.ok_or(format!("{number}: output of nothing"))?;
            if matches!(before.kind, Kind::Shown | Kind::Server) {
                return Err(format!("{number}: output of a block that is not run to its end"));
            }
            before.answer = Some(content);
            continue;
        }
        found.push(Block {
            kind: kind(info).map_err(|err| format!("{number}: {err}"))?,
            line: number,
            text: content,
            answer: None,
        });
    }
    Ok(found)
}

/// Commands of a block, one per line; a line that ends in `\` goes on.
pub(super) fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn kinds() {
    for (info, expected) in [
        ("sh", Kind::Shell { exit: 0 }),
        ("sh exit=2", Kind::Shell { exit: 2 }),
        ("sh eventually", Kind::Eventually),
        ("sh server", Kind::Server),
        ("sh manual", Kind::Manual),
        ("python", python("requirements.txt")),
        ("python kserve", python("requirements-kserve.txt")),
        ("toml", Kind::Shown),
    ] {
        assert_eq!(kind(info), Ok(expected), "{info}");
    }
    for info in [
        "",
        "python numpy",
        "sh soon",
        "sh exit=x",
        "sh server manual",
        "toml server",
    ] {
        assert!(kind(info).is_err(), "{info}");
    }
}

#[test]
fn blocks_with_their_answers() {
    let found = blocks("Text\n```sh\necho 1\n```\nprints\n```output\n1\n```\n```text\nx\n```\n").unwrap();
    let block = |kind, line, text: &str, answer: Option<&str>| Block {
        kind,
        line,
        text: text.to_owned(),
        answer: answer.map(str::to_owned),
    };
    let expected = [
        block(Kind::Shell { exit: 0 }, 2, "echo 1\n", Some("1\n")),
        block(Kind::Shown, 9, "x\n", None),
    ];
    assert_eq!(found, expected);
    for text in [
        "```\nx\n```\n",
        "```sh\n",
        "```output\n```\n",
        "```text\n```\n```output\n```\n",
    ] {
        assert!(blocks(text).is_err(), "{text}");
    }
}

#[test]
fn commands_go_on_after_a_backslash() {
    assert_eq!(commands("a \\\n  b\n\n# c\nd\n"), ["a    b", "d"]);
}
