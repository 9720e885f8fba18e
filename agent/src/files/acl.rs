//! Who may read a file: permission bits where they say it, a POSIX access control list where they cannot.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode as Permissions, XattrFlags, fchmod, fgetxattr, fremovexattr, fsetxattr, fstat};
use rustix::io::{Errno, Result};

use super::settings::{Mode, Target};
use crate::principal::Principal;

/// The extended attribute that the kernel translates to and from the list.
const ATTRIBUTE: &str = "system.posix_acl_access";

/// The form of the attribute, and the tags of its entries in the order that the kernel demands.
/// Source: `include/uapi/linux/posix_acl_xattr.h` and `posix_acl.h`.
const VERSION: u32 = 2;
const OWNER: u16 = 0x01;
const NAMED_USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const NAMED_GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;
const READ: u16 = 4;
const NO_ID: u32 = u32::MAX;

impl Mode {
    /// Whether the group of a file may read it and others may not.
    #[must_use]
    pub fn is_group_readable(self) -> bool {
        self.bits() & 0o044 == 0o040
    }
}

/// What a file must look like for exactly the right ones to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    bits: u32,
    named: BTreeSet<Principal>,
}

impl Access {
    /// Lets the readers of `target` in, on a file of this owner and group. The list is for those whom no bit lets in.
    pub(super) fn plan(target: &Target, owner: u32, group: u32) -> Self {
        let Target { mode, readers, .. } = target;
        let group_reads = readers.contains(&Principal::Group(group));
        let bits = mode.bits() | if group_reads { 0o040 } else { 0 };
        let by_bits = |reader: &Principal| {
            mode.is_world_readable() || [Principal::User(owner), Principal::Group(group)].contains(reader)
        };
        Self { bits, named: readers.iter().copied().filter(|reader| !by_bits(reader)).collect() }
    }

    /// Gives `file` these bits and this list, and takes away any list that it inherited.
    pub(super) fn apply(&self, file: BorrowedFd<'_>) -> Result<()> {
        if self.named.is_empty() {
            match fremovexattr(file, ATTRIBUTE) {
                Err(error) if ![Errno::NODATA, Errno::OPNOTSUPP].contains(&error) => return Err(error),
                _ => {}
            }
            return fchmod(file, Permissions::from_raw_mode(self.bits));
        }
        // The list carries the bits too, except the mask's place in them, which the kernel fills in.
        fsetxattr(file, ATTRIBUTE, &self.encode(), XattrFlags::empty())
    }

    /// Whether `file` looks as [`Self::apply`] leaves it.
    pub(super) fn holds(&self, file: BorrowedFd<'_>) -> Result<bool> {
        let bits = if self.named.is_empty() { self.bits } else { self.bits | 0o040 };
        let list = (!self.named.is_empty()).then(|| self.encode());
        Ok(fstat(file)?.st_mode & 0o7777 == bits && read_list(file)? == list)
    }

    fn encode(&self) -> Vec<u8> {
        let permission = |shift: u32| u16::try_from(self.bits >> shift & 0o7).unwrap_or(0);
        let named = |tag, id| (tag, READ, id);
        let users = self.named.iter().filter_map(|reader| match reader {
            Principal::User(id) => Some(named(NAMED_USER, *id)),
            Principal::Group(_) => None,
        });
        let groups = self.named.iter().filter_map(|reader| match reader {
            Principal::Group(id) => Some(named(NAMED_GROUP, *id)),
            Principal::User(_) => None,
        });
        let entries = std::iter::once((OWNER, permission(6), NO_ID))
            .chain(users)
            .chain([(OWNING_GROUP, permission(3), NO_ID)])
            .chain(groups)
            .chain([(MASK, READ, NO_ID), (OTHERS, permission(0), NO_ID)]);
        let mut encoded = VERSION.to_le_bytes().to_vec();
        for (tag, permission, id) in entries {
            encoded.extend(tag.to_le_bytes());
            encoded.extend(permission.to_le_bytes());
            encoded.extend(id.to_le_bytes());
        }
        encoded
    }
}

fn read_list(file: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
    // Any list longer than this is none of ours; the kernel then answers ERANGE.
    let mut buffer = vec![0; 64 * 1024];
    match fgetxattr(file, ATTRIBUTE, &mut buffer[..]) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const OWNER_ID: u32 = 10;
    const GROUP_ID: u32 = 20;

    fn plan(mode: &str, readers: &[Principal]) -> Access {
        let target = Target {
            path: "db".parse().expect("a path"),
            mode: mode.parse().expect("a mode"),
            readers: readers.to_vec(),
        };
        Access::plan(&target, OWNER_ID, GROUP_ID)
    }

    #[test]
    fn bits_do_where_they_can_and_a_list_does_the_rest() {
        use Principal::{Group, User};
        let rows: &[(&str, &[Principal], u32, &[Principal])] = &[
            ("0400", &[], 0o400, &[]),
            ("0400", &[User(OWNER_ID)], 0o400, &[]),
            ("0400", &[Group(GROUP_ID)], 0o440, &[]),
            ("0440", &[User(OWNER_ID), Group(GROUP_ID)], 0o440, &[]),
            ("0400", &[User(11)], 0o400, &[User(11)]),
            ("0640", &[Group(21), User(11), Group(GROUP_ID), User(11)], 0o640, &[User(11), Group(21)]),
            ("0400", &[User(GROUP_ID), Group(OWNER_ID)], 0o400, &[User(GROUP_ID), Group(OWNER_ID)]),
            ("0444", &[User(11), Group(21)], 0o444, &[]),
        ];
        for (mode, readers, bits, named) in rows {
            let expected = Access { bits: *bits, named: named.iter().copied().collect() };
            assert_eq!(plan(mode, readers), expected, "{mode} {readers:?}");
        }
    }

    #[test]
    fn a_list_is_encoded_as_the_kernel_wants_it() {
        let access = plan("0400", &[Principal::Group(0x0201), Principal::User(12), Principal::User(11)]);
        let expected: &[u8] = &[
            2, 0, 0, 0, // version
            0x01, 0, 4, 0, 255, 255, 255, 255, // the owner reads
            0x02, 0, 4, 0, 11, 0, 0, 0, // user 11
            0x02, 0, 4, 0, 12, 0, 0, 0, // user 12
            0x04, 0, 0, 0, 255, 255, 255, 255, // the group does not
            0x08, 0, 4, 0, 1, 2, 0, 0, // group 513
            0x10, 0, 4, 0, 255, 255, 255, 255, // the mask
            0x20, 0, 0, 0, 255, 255, 255, 255, // nor do others
        ];
        assert_eq!(access.encode(), expected);
    }

    #[test]
    fn what_was_applied_is_found_again_and_nothing_else_is_taken_for_it() {
        let file = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
        let listed = plan("0400", &[Principal::User(11)]);
        let all = [plan("0400", &[]), plan("0440", &[]), listed.clone(), plan("0400", &[Principal::User(12)])];
        for access in [&all[0], &all[2], &all[1], &all[3], &all[0]] {
            access.apply(file.as_fd()).expect("our own file");
            let held: Vec<_> = all.iter().map(|other| other.holds(file.as_fd()).expect("readable")).collect();
            let expected: Vec<_> = all.iter().map(|other| other == access).collect();
            assert_eq!(held, expected, "{access:?}");
        }
    }
}
