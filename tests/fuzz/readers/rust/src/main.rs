//! What the x07 command line does with archives.
//!
//! `archive unpack ARCHIVE DIRECTORY` writes what the archive holds. Like the command line, it refuses
//! every member that is neither a file nor a directory, and every path that is not made of plain names.
//! `archive pack ARCHIVE DIRECTORY PATH…` packs the files at these paths.
//! Either exits with 1 and says why where the command line fails.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::{Component, Path};

type Outcome = Result<(), Box<dyn Error>>;

fn unpack(archive: &Path, directory: &Path) -> Outcome {
    for member in tar::Archive::new(fs::File::open(archive)?).entries()? {
        let mut member = member?;
        let path = member.path()?.into_owned();
        let is_plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if path.as_os_str().is_empty() || !is_plain {
            return Err(format!("{path:?} is not made of plain names").into());
        }
        let target = directory.join(&path);
        fs::create_dir_all(target.parent().ok_or("a path has no parent")?)?;
        let kind = member.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else if kind.is_file() {
            let mut data = Vec::new();
            member.read_to_end(&mut data)?;
            fs::write(&target, data)?;
        } else {
            return Err(format!("{path:?} is {kind:?}").into());
        }
    }
    Ok(())
}

fn pack(archive: &Path, directory: &Path, paths: &[String]) -> Outcome {
    let mut builder = tar::Builder::new(fs::File::create(archive)?);
    for path in paths {
        let data = fs::read(directory.join(path))?;
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, data.as_slice())?;
    }
    Ok(builder.finish()?)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [verb, archive, directory] if verb == "unpack" => {
            unpack(archive.as_ref(), directory.as_ref())
        }
        [verb, archive, directory, paths @ ..] if verb == "pack" => {
            pack(archive.as_ref(), directory.as_ref(), paths)
        }
        _ => Err("usage: archive unpack|pack ARCHIVE DIRECTORY [PATH…]".into()),
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
