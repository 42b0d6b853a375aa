//! Files, folders and standard input, in a fixed order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moat_k8s::Source;

use crate::failure::Failure;

/// The largest file that is read: larger ones are no manifests, and memory stays bounded.
const LARGEST: u64 = 512 << 20;

/// The endings of the files that a folder contributes.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads paths in their order: a file whatever it is called, a folder's manifests sorted by path. A file that is reached
/// twice is read once; hidden files and folders are left out, and so are `others`, the files with another role than to hold
/// objects. Links are followed, but never around.
pub(crate) fn read(
    paths: &[PathBuf],
    others: &[PathBuf],
    stdin: &mut dyn Read,
) -> Result<Vec<Source>, Failure> {
    let seen = others.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut reader = Reader { stdin, seen, sources: Vec::new() };
    for path in paths {
        reader.path(path)?;
    }
    Ok(reader.sources)
}

/// Reads one file, or standard input for `-`, as text.
pub(crate) fn read_text(path: &Path, stdin: &mut dyn Read) -> Result<String, Failure> {
    let bytes = if is_stdin(path) {
        limited(stdin, path)?
    } else {
        limited(&mut File::open(path).map_err(unreadable(path))?, path)?
    };
    String::from_utf8(bytes).map_err(|error| {
        let error = io::Error::new(io::ErrorKind::InvalidData, error.utf8_error());
        unreadable(path)(error)
    })
}

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The lines of the sources, for showing them beside findings.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    files: BTreeMap<Arc<str>, Vec<Box<str>>>,
}

impl Lines {
    /// The lines of those `sources` that `wanted` names.
    pub(crate) fn of(sources: &[Source], wanted: &BTreeSet<Arc<str>>) -> Self {
        let wanted = sources.iter().filter(|source| wanted.contains(&source.name));
        let files = wanted.map(|source| {
            let text = String::from_utf8_lossy(&source.bytes);
            (source.name.clone(), text.lines().map(Box::from).collect())
        });
        Self { files: files.collect() }
    }

    /// A line of a file, from 1.
    pub(crate) fn get(&self, file: &str, line: usize) -> Option<&str> {
        self.files.get(file)?.get(line.checked_sub(1)?).map(AsRef::as_ref)
    }
}

struct Reader<'a> {
    /// Standard input.
    stdin: &'a mut dyn Read,
    /// What was read, files and folders, by canonical path.
    seen: BTreeSet<PathBuf>,
    sources: Vec<Source>,
}

impl Reader<'_> {
    fn path(&mut self, path: &Path) -> Result<(), Failure> {
        if is_stdin(path) {
            let bytes = limited(self.stdin, path)?;
            self.sources.push(Source { name: "-".into(), bytes: bytes.into() });
            return Ok(());
        }
        if !fs::metadata(path).map_err(unreadable(path))?.is_dir() {
            return self.file(path);
        }
        let before = (self.sources.len(), self.seen.len());
        self.folder(path)?;
        // A folder without manifests is a mistake, unless all of it was read before.
        let empty = before.0 == self.sources.len() && before.1 != self.seen.len();
        if empty { Err(Failure::NoManifests { path: path.to_owned() }) } else { Ok(()) }
    }

    fn folder(&mut self, path: &Path) -> Result<(), Failure> {
        if !self.seen.insert(path.canonicalize().map_err(unreadable(path))?) {
            return Ok(());
        }
        let entries = fs::read_dir(path).map_err(unreadable(path))?;
        let entries = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<BTreeSet<_>>>();
        for entry in entries.map_err(unreadable(path))? {
            if entry.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            let ending = entry.extension().and_then(|ending| ending.to_str());
            let manifest = ending.is_some_and(|ending| ENDINGS.contains(&ending));
            match fs::metadata(&entry) {
                Ok(metadata) if metadata.is_dir() => self.folder(&entry)?,
                Ok(_) if manifest => self.file(&entry)?,
                Err(error) if manifest => return Err(unreadable(&entry)(error)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut file = File::open(path).map_err(unreadable(path))?;
        // Pipes and devices have no place of their own to come back to.
        let regular = file.metadata().map_err(unreadable(path))?.is_file();
        if regular && !self.seen.insert(path.canonicalize().map_err(unreadable(path))?) {
            return Ok(());
        }
        let bytes = limited(&mut file, path)?.into();
        self.sources.push(Source { name: path.display().to_string().into(), bytes });
        Ok(())
    }
}

fn limited(reader: &mut dyn Read, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let count = reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable(path))?;
    if u64::try_from(count).is_ok_and(|count| count <= LARGEST) {
        Ok(bytes)
    } else {
        Err(Failure::TooLarge { path: path.to_owned(), mebibytes: LARGEST >> 20 })
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf]) -> Result<Vec<String>, String> {
        let sources = read(paths, &[], &mut io::empty()).map_err(|failure| failure.to_string())?;
        let name = |source: &Source| source.name.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(sources.iter().map(name).collect())
    }

    #[test]
    fn a_folder_gives_its_manifests_sorted_and_nothing_hidden() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/c")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        let files = ["z.yml", "a.yaml", "b/c/x.json", "notes.txt", ".git/d.yaml", ".e.yaml"];
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let root = folder.path().to_owned();
        assert_eq!(names(std::slice::from_ref(&root)).unwrap(), ["a.yaml", "x.json", "z.yml"]);
        let twice = [root.join("z.yml"), root.clone(), root.join("notes.txt"), root.clone()];
        assert_eq!(names(&twice).unwrap(), ["z.yml", "a.yaml", "x.json", "notes.txt"]);
        let others = [root.join("a.yaml")];
        let rest = read(&[root], &others, &mut io::empty()).unwrap();
        assert_eq!(rest.len(), 2, "a file with another role is none of objects: {rest:?}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_never_around() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("sub/a.yaml"), "").unwrap();
        symlink("..", root.join("sub/up")).unwrap();
        symlink("sub/a.yaml", root.join("same.yaml")).unwrap();
        assert_eq!(names(std::slice::from_ref(&root)).unwrap(), ["same.yaml"]);
        symlink("loop.yaml", root.join("loop.yaml")).unwrap();
        let error = names(std::slice::from_ref(&root)).unwrap_err();
        assert!(error.contains("loop.yaml"), "{error}");
    }
}
