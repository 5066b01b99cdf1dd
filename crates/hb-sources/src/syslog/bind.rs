//! Takes a place to listen at, if it is free.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::Listen;
use super::wire::{Own, Wire};
use crate::SourceError;

/// Every program of the machine may write to it, as to any other syslog socket.
const SOCKET_MODE: u32 = 0o666;

/// Listens.
///
/// # Errors
/// [`SourceError::Retry`] with what to do, when the place is taken or not ours to take.
pub(super) fn bind(listen: &Listen) -> Result<Wire, SourceError> {
    let place = listen.place();
    let cannot = |error: io::Error| {
        let why = if error.kind() == ErrorKind::AddrInUse {
            "another program listens there; give another place, or stop that program".to_owned()
        } else if error.kind() == ErrorKind::PermissionDenied {
            format!("{error}; ports below 1024 and /dev need more rights")
        } else {
            error.to_string()
        };
        SourceError::Retry(format!("cannot listen at {place}: {why}"))
    };
    match listen {
        Listen::Unix(path) => unix(path).map_err(cannot),
        Listen::Udp(address) => {
            let socket = UdpSocket::bind(address).map_err(cannot)?;
            socket.set_nonblocking(true).map_err(cannot)?;
            Ok(Wire::udp(socket))
        }
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).map_err(cannot)?;
            listener.set_nonblocking(true).map_err(cannot)?;
            Ok(Wire::tcp(listener))
        }
    }
}

/// A socket that nobody listens at any more is replaced; one that is in use, and anything else, is left alone.
fn unix(path: &Path) -> io::Result<Wire> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(meta) if meta.file_type().is_socket() => {
            let probe = UnixDatagram::unbound()?;
            match probe.connect(path) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                Ok(()) => return Err(ErrorKind::AddrInUse.into()),
                Err(error) => return Err(error),
            }
        }
        // /dev/log is a link into systemd's journal where that runs.
        Ok(meta) if meta.file_type().is_symlink() => return Err(ErrorKind::AddrInUse.into()),
        Ok(_) => return Err(io::Error::other("there is something else than a socket; name another path")),
    }
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok(Wire::unix(socket, Own { path: path.to_owned(), inode }))
}
