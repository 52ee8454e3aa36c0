//! The built web application: files with the right types and cache rules, `index.html` for addresses of the
//! application.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Larger files are not part of a web application.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Where the bundler puts files whose names hold a hash of their content.
const HASHED_FOLDER: &str = "assets/";
const INDEX: &str = "index.html";

/// The folder of built files, with what was read from it.
pub(crate) struct Pages {
    root: Option<PathBuf>,
    /// Origins that pages may load of and ask beside our own, with blanks between them.
    others: String,
    /// Bounded by the files of the folder.
    read: Mutex<HashMap<String, Arc<File>>>,
}

struct File {
    modified: SystemTime,
    content_type: &'static str,
    etag: HeaderValue,
    plain: Bytes,
    gzip: Option<Bytes>,
}

impl Pages {
    /// Pages of this folder; `None` when the manifest names none.
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self { root, others: String::new(), read: Mutex::new(HashMap::new()) }
    }

    /// The same, that may load scripts and frames of these hosts, and ask them.
    pub(crate) fn with_others(self, others: String) -> Self {
        Self { others, ..self }
    }

    /// Those hosts.
    pub(crate) fn others(&self) -> &str {
        &self.others
    }

    /// The answer to a `GET` or `HEAD` that meets no function.
    pub(crate) async fn serve(self: &Arc<Self>, path: &str, headers: &HeaderMap) -> Response<Bytes> {
        let Some(name) = file_name(path) else { return Problem::NOT_FOUND.response() };
        let wants_page = accepts(headers, ACCEPT, "text/html");
        let pages = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || pages.find(name, wants_page)).await;
        match found {
            Ok(Ok((name, file))) => file.response(&name, headers),
            Ok(Err(problem)) => problem.response(),
            Err(_) => Problem::NOT_FOUND.response(),
        }
    }

    /// The file, or the application's page in its place.
    fn find(&self, name: String, wants_page: bool) -> Result<(String, Arc<File>), Problem> {
        let root = self.root.as_deref().ok_or(Problem::PAGES_NOT_BUILT)?;
        let candidates = [Some(name), wants_page.then(|| INDEX.to_owned())];
        for name in candidates.into_iter().flatten() {
            if let Ok(file) = self.load(root, &name) {
                return Ok((name, file));
            }
        }
        Err(if root.join(INDEX).exists() { Problem::NOT_FOUND } else { Problem::PAGES_NOT_BUILT })
    }

    fn load(&self, root: &Path, name: &str) -> io::Result<Arc<File>> {
        let path = root.join(name);
        let metadata = std::fs::metadata(&path)?;
        let modified = metadata.modified()?;
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            return Err(io::ErrorKind::NotFound.into());
        }
        let known = self.read.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(file) = known.filter(|file| file.modified == modified) {
            return Ok(file);
        }
        let file = Arc::new(File::new(name, std::fs::read(&path)?, modified)?);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl File {
    fn new(name: &str, bytes: Vec<u8>, modified: SystemTime) -> io::Result<Self> {
        let content_type = content_type(name);
        let hash: String = Sha256::digest(&bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{hash}\"")).map_err(io::Error::other)?;
        let gzip = if is_text(content_type) { Some(compress(&bytes)?) } else { None };
        let gzip = gzip.filter(|gzip| gzip.len() < bytes.len()).map(Bytes::from);
        Ok(Self { modified, content_type, etag, plain: Bytes::from(bytes), gzip })
    }

    fn response(&self, name: &str, headers: &HeaderMap) -> Response<Bytes> {
        let unchanged = headers.get_all(IF_NONE_MATCH).iter().any(|known| {
            let known = known.to_str().unwrap_or("");
            known.split(',').any(|tag| tag.trim().trim_start_matches("W/").as_bytes() == self.etag.as_bytes())
        });
        let mut response = Response::new(Bytes::new());
        let answer = response.headers_mut();
        answer.insert(ETAG, self.etag.clone());
        answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
        let immutable = name.starts_with(HASHED_FOLDER);
        let cache = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        answer.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        answer.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let gzip = self.gzip.as_ref().filter(|_| accepts(headers, ACCEPT_ENCODING, "gzip"));
        if gzip.is_some() {
            answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = gzip.unwrap_or(&self.plain).clone();
        response
    }
}

/// The file that a path names, inside the folder. `None` for what no built file is called: dots at the start
/// of a segment, empty segments, escapes.
fn file_name(path: &str) -> Option<String> {
    let name = path.strip_prefix('/')?;
    if name.is_empty() {
        return Some(INDEX.to_owned());
    }
    let name = name.strip_suffix('/').unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'@');
    let fine = |segment: &str| !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(plain);
    name.split('/').all(fine).then(|| name.to_owned())
}

fn content_type(name: &str) -> &'static str {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn is_text(content_type: &str) -> bool {
    content_type.starts_with("text/") || content_type.contains("json") || content_type.contains("svg")
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Whether a list header names `item` without refusing it (`q=0`).
fn accepts(headers: &HeaderMap, name: http::HeaderName, item: &str) -> bool {
    let lists = headers.get_all(name);
    let mut entries = lists.iter().filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    entries.any(|entry| {
        let (value, quality) = entry.split_once(';').unwrap_or((entry, ""));
        value.trim().eq_ignore_ascii_case(item)
            && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_inside_the_folder() {
        assert_eq!(file_name("/").as_deref(), Some("index.html"));
        assert_eq!(file_name("/assets/a-1.js").as_deref(), Some("assets/a-1.js"));
        assert_eq!(file_name("/c/demo/").as_deref(), Some("c/demo"));
        for bad in
            ["", "a", "//", "/../x", "/a/../x", "/.git/config", "/a/./b", "/%2e%2e/x", "/a\\b", "/a//b"]
        {
            assert_eq!(file_name(bad), None, "{bad}");
        }
    }

    async fn get(pages: &Arc<Pages>, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        pages.serve(path, &headers).await
    }

    #[tokio::test]
    async fn files_pages_and_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let pages = Arc::new(Pages::new(Some(folder.path().to_owned())));
        let html = [("accept", "text/html,*/*")];
        let missing = get(&pages, "/", &html).await;
        assert!(String::from_utf8_lossy(missing.body()).contains("pages-not-built"));

        std::fs::create_dir(folder.path().join("assets")).unwrap();
        std::fs::write(folder.path().join("index.html"), "<p>hello</p>").unwrap();
        std::fs::write(folder.path().join("assets/a-1.js"), "x".repeat(2_000)).unwrap();
        let page = get(&pages, "/c/demo/visit", &html).await;
        assert_eq!((page.status(), page.body().as_ref()), (StatusCode::OK, &b"<p>hello</p>"[..]));
        assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
        let script = get(&pages, "/assets/a-1.js", &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(script.headers()[CONTENT_ENCODING], "gzip");
        assert!(script.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        let absent = get(&pages, "/assets/b.js", &[("accept", "*/*")]).await;
        assert_eq!(absent.status(), StatusCode::NOT_FOUND);
        let etag = page.headers()[ETAG].to_str().unwrap().to_owned();
        let again = get(&pages, "/", &[("if-none-match", &etag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
