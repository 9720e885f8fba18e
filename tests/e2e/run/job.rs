//! The first command that somebody types in an Azure Machine Learning job: one container, run as root, whose only memory file
//! system is /dev/shm and whose limit for locked memory is small.

use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_tests::binaries;
use keyside_tests::estate::{Estate, MANAGED_CLIENT, PLATFORM_SECRET, VAULT};
use keyside_tests::report::{root_or_skip, say};

use super::wrapper::Wrapper;

const SECRETS: &[(&str, &str)] = &[("wandb-api-key", "wandb-5fR8tYq2")];

/// Makes the container's root in the first argument, and runs the rest in it.
const CONTAINER: &str = r#"
    set -e
    root=$1; shift
    mount --make-rprivate /
    mount --bind "$root" "$root"
    cd "$root"
    mkdir -p usr etc proc dev/shm tmp run work
    for link in bin sbin lib lib64; do [ -e "$link" ] || ln -s "usr/$link" "$link"; done
    mount --bind /usr usr
    mount -t proc proc proc
    mount -t tmpfs -o mode=1777 shm dev/shm
    for device in null urandom; do : > dev/$device; mount --bind /dev/$device dev/$device; done
    mkdir old; pivot_root . old; umount -l /old; rmdir /old
    cd /work
    exec prlimit --memlock=65536:65536 "$@"
"#;

struct Container {
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl Container {
    /// A root on the disk, with the program and what it needs of the estate.
    fn new(estate: &Estate) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("work")).expect("made");
        std::fs::copy(binaries::path("keyside"), root.join("keyside")).expect("copied");
        std::fs::copy(&estate.variables()["SSL_CERT_FILE"], root.join("ca.pem")).expect("copied");
        std::fs::write(root.join("work/train.py"), TRAIN).expect("written");
        Self { root, _folder: folder }
    }

    /// A job that is given these variables of the platform.
    fn job(&self, estate: &Estate, platform: &[(&str, &str)], line: &[&str]) -> Command {
        let mut job = Command::new("unshare");
        job.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CONTAINER, "sh"])
            .arg(&self.root)
            .args(line);
        job.env_clear().envs(estate.variables_and(platform)).env("SSL_CERT_FILE", "/ca.pem");
        job.env("PATH", "/:/usr/local/bin:/usr/bin:/bin:/usr/sbin")
            .env("KEY_VAULT_URL", format!("https://{VAULT}.vault.azure.net"));
        job
    }
}

const TRAIN: &str = "
import os, sys
print('key', os.environ['WANDB_API_KEY'], 'at', os.environ['KEYSIDE_SOCKET'])
print('memory file systems', sorted(line.split()[1] for line in open('/proc/mounts') if line.split()[2] == 'tmpfs'))
print('locked', [line.split()[3] for line in open('/proc/self/limits') if line.startswith('Max locked memory')])
print('left for', sys.argv[1:])
";

fn run(estate: &Estate, platform: &[(&str, &str)], line: &[&str]) -> String {
    let container = Container::new(estate);
    let mut wrapper = Wrapper::of(estate, container.job(estate, platform, line));
    assert_eq!(wrapper.end(), Some(0), "{}{}", wrapper.said(), wrapper.log());
    say(&format!("{}: {}", line.join(" "), wrapper.said().replace('\n', "; ")));
    assert!(!Path::new(&container.root).join("run/keyside").exists(), "nothing is put on the disk");
    wrapper.said()
}

#[test]
fn the_first_command_works() {
    if !root_or_skip("only root may make a container's root") {
        return;
    }
    let estate = Estate::start(SECRETS);
    let platform = estate.emulator.variables()["AZURE_POD_IDENTITY_AUTHORITY_HOST"].clone();
    let endpoint = format!("{platform}/msi/token");
    let variables = [
        ("MSI_ENDPOINT", endpoint.as_str()),
        ("MSI_SECRET", PLATFORM_SECRET),
        ("DEFAULT_IDENTITY_CLIENT_ID", MANAGED_CLIENT),
    ];
    let line = ["keyside", "run", "--env", "WANDB_API_KEY=wandb-api-key", "--", "python3", "train.py", "--epochs", "3"];
    let said = run(&estate, &variables, &line);
    assert_eq!(
        said,
        "key wandb-5fR8tYq2 at /dev/shm/keyside-0/agent.sock\nmemory file systems ['/dev/shm']\nlocked ['65536']\n\
         left for ['--epochs', '3']\n"
    );
    // The user on whose behalf the job runs, and a file as well, of which nothing is left when the run has ended.
    let on_behalf = format!("{platform}/obo/token");
    let on_behalf = [&variables[..], &[("OBO_ENDPOINT", on_behalf.as_str())]].concat();
    let inner = "keyside run --identity azure-ml-on-behalf-of --env wandb-api-key --file key=wandb-api-key -- \
                 sh -c 'keyside status | grep identity; cat $KEYSIDE_SECRETS_DIR/key; echo .' && ls -A /dev/shm";
    let said = run(&estate, &on_behalf, &["sh", "-c", inner]);
    assert!(said.contains("Azure ML user") && said.ends_with("wandb-5fR8tYq2.\n"), "{said}");
}
