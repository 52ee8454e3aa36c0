//! A function that does what its caller says: one command a line, in the body or (for `GET`) in the header
//! `x-script`, there separated by `;;`. Whatever a command finds becomes one line of the answer.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "one command tests what becomes of it")]
#![allow(clippy::disallowed_methods, reason = "a function owns its thread: sleeping is one of its commands")]

use std::fmt::Write as _;

use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{Request, Response, StatusCode, send};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;
use spin_sdk::sqlite::{Connection, Value};
use spin_sdk::variables;

/// What the answer will be.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

#[http_service]
async fn handle(request: Request) -> anyhow::Result<http::Response<String>> {
    let (parts, body) = request.into_parts();
    let body = body.bytes().await.map_err(|_| anyhow::anyhow!("no body"))?;
    let script = match parts.headers.get("x-script") {
        Some(script) => script.to_str()?.replace(";;", "\n"),
        None => String::from_utf8(body.to_vec())?,
    };
    let mut answer = Answer { status: 200, headers: Vec::new(), body: String::new() };
    for line in script.lines() {
        let (command, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if command == "headers" {
            for (name, value) in &parts.headers {
                writeln!(answer.body, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
            }
        } else {
            let line = run(command, argument, &mut answer).await;
            writeln!(answer.body, "{}", line.unwrap_or_else(|error| format!("error: {error}")))?;
        }
    }
    let mut response = http::Response::builder().status(StatusCode::from_u16(answer.status)?);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(answer.body)?)
}

async fn run(command: &str, argument: &str, answer: &mut Answer) -> anyhow::Result<String> {
    Ok(match command {
        "" => String::new(),
        "say" => argument.to_owned(),
        "status" => {
            answer.status = argument.parse()?;
            String::new()
        }
        "header" => {
            let (name, value) = argument.split_once(": ").unwrap_or((argument, ""));
            answer.headers.push((name.to_owned(), value.to_owned()));
            String::new()
        }
        "sql" => sql(argument).await?,
        "rowid" => Connection::open_default().await?.last_insert_rowid().await.to_string(),
        "changes" => Connection::open_default().await?.changes().await.to_string(),
        "database" => Connection::open(argument).await.map(|_| "opened".to_owned())?,
        "set" => {
            let (key, value) = argument.split_once(' ').unwrap_or((argument, ""));
            Store::open_default().await?.set(key, value.as_bytes()).await.map(|()| "set".to_owned())?
        }
        "get" => {
            let value = Store::open_default().await?.get(argument).await?;
            value.map_or("none".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
        }
        "keys" => Store::open_default().await?.get_keys().await.collect().await?.join(","),
        "variable" => variables::get(argument).await?,
        "fetch" => fetch(argument).await?,
        "print" => {
            eprintln!("{argument}");
            println!("{argument}");
            String::new()
        }
        "big" => "x".repeat(argument.parse()?),
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_millis(argument.parse()?));
            "slept".to_owned()
        }
        "loop" => spin_for_ever(),
        "hog" => hog(),
        "panic" => panic!("{argument}"),
        other => anyhow::bail!("no command {other}"),
    })
}

async fn sql(statement: &str) -> anyhow::Result<String> {
    let database = Connection::open_default().await?;
    let mut result = database.execute(statement, []).await?;
    let mut rows = Vec::new();
    while let Some(row) = result.next().await {
        rows.push(format!("[{}]", row.values.iter().map(show).collect::<Vec<_>>().join(", ")));
    }
    result.result().await?;
    Ok(rows.join(" "))
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(value) => value.to_string(),
        Value::Real(value) => value.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Blob(bytes) => {
            format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let request = http::Request::get(url).body(String::new())?;
    let response: Response = send(request).await?;
    let status = response.status();
    let body = response.into_body().bytes().await?;
    Ok(format!("{status} {}", String::from_utf8_lossy(&body)))
}

fn spin_for_ever() -> ! {
    let mut count = 0_u64;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}

fn hog() -> String {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}
