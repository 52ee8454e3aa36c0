//! Text that must be in no file, in any of the ways in which it could get there: as it is, as UTF-16, in base64 and
//! in hexadecimal.

use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Finds planted text. What it says names none: tests log too.
pub struct Planted {
    needles: AhoCorasick,
    /// What each needle is.
    names: Vec<String>,
}

impl Planted {
    /// Each text is long enough not to be anywhere by chance.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let (mut needles, mut names) = (Vec::new(), Vec::new());
        for (number, text) in texts.into_iter().enumerate() {
            ensure!(text.len() >= 8, "text {number} is too short to be looked for");
            for (form, needle) in forms(text) {
                needles.push(needle);
                names.push(format!("planted text {number}, {form}"));
            }
        }
        let needles = AhoCorasick::new(&needles).context("put the needles together")?;
        Ok(Self { needles, names })
    }

    /// Fails when it is in these bytes, which `place` names.
    pub fn absent_in(&self, bytes: &[u8], place: &str) -> Result<()> {
        let found = self.needles.find(bytes);
        let found = found.and_then(|found| self.names.get(found.pattern().as_usize()));
        ensure!(found.is_none(), "{} is in {place}", found.map_or("", String::as_str));
        Ok(())
    }

    /// Fails when it is in a file below `folder`, or in the name of one; how many files there are.
    pub fn absent_below(&self, folder: &Path) -> Result<usize> {
        let (mut folders, mut searched) = (vec![folder.to_owned()], 0);
        while let Some(folder) = folders.pop() {
            for entry in
                std::fs::read_dir(&folder).with_context(|| format!("look into {}", folder.display()))?
            {
                let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
                self.absent_in(path.as_os_str().as_encoded_bytes(), "the name of a file")?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    // One that is gone meanwhile holds nothing any more.
                    let Ok(bytes) = std::fs::read(&path) else { continue };
                    self.absent_in(&bytes, &path.display().to_string())?;
                    searched += 1;
                }
            }
        }
        Ok(searched)
    }
}

fn forms(text: &str) -> Vec<(String, Vec<u8>)> {
    let units = || text.encode_utf16();
    let mut forms = vec![
        ("as it is".to_owned(), text.as_bytes().to_vec()),
        ("UTF-16, little end first".to_owned(), units().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16, big end first".to_owned(), units().flat_map(u16::to_be_bytes).collect()),
        (
            "hexadecimal".to_owned(),
            text.bytes().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
        ),
    ];
    for before in 0..3 {
        // Inside of something else it may begin at any of three bits; what its neighbours decide on is left out.
        let padded = [vec![0; before], text.as_bytes().to_vec()].concat();
        let (first, last) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for (name, encoded) in
            [("base64", STANDARD_NO_PAD.encode(&padded)), ("base64url", URL_SAFE_NO_PAD.encode(&padded))]
        {
            let needle = encoded.as_bytes().get(first..last).unwrap_or_default().to_vec();
            forms.push((format!("{name} after {before} bytes"), needle));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Wilhelmina Quetzalcoatl";

    #[test]
    fn it_is_found_however_it_is_written() {
        let planted = Planted::new([TEXT]).unwrap_or_else(|error| panic!("{error}"));
        let wide: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut written = vec![TEXT.as_bytes().to_vec(), wide];
        for before in ["", "a", "ab", "abc"] {
            written.push(STANDARD_NO_PAD.encode(format!("{before}{TEXT} and more")).into_bytes());
            written.push(URL_SAFE_NO_PAD.encode(format!("{before}{TEXT}~~~")).into_bytes());
        }
        for written in written {
            let around = [b"before ".to_vec(), written, b" after".to_vec()].concat();
            assert!(planted.absent_in(&around, "x").is_err(), "{}", String::from_utf8_lossy(&around));
        }
        assert!(planted.absent_in(b"Wilhelmina Quetzalcoat", "x").is_ok());
    }

    #[test]
    fn a_file_and_its_name_are_looked_at() {
        let planted = Planted::new([TEXT]).unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        std::fs::create_dir(folder.path().join("below")).unwrap_or_else(|error| panic!("{error}"));
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join("below").join(name), text)
                .unwrap_or_else(|error| panic!("{error}"));
        };
        write("one", "nothing");
        assert!(planted.absent_below(folder.path()).is_ok_and(|files| files == 1));
        write("two", TEXT);
        let told = planted.absent_below(folder.path()).err().map(|error| error.to_string());
        assert!(told.is_some_and(|told| told.contains("below/two") && !told.contains("Wilhelmina")));
        write("two", "");
        write(TEXT, "");
        assert!(planted.absent_below(folder.path()).is_err());
    }
}
