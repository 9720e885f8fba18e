use serde_json::{Value, json};

use super::*;

/// A pod with one container of each kind, as `kubectl kustomize` prints it.
fn template() -> Value {
    let closed = json!({
        "runAsUser": 10001, "runAsGroup": 10002, "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    let resources = json!({"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}});
    let probe = |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3});
    json!({"spec": {
        "serviceAccountName": "trainer",
        "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "fsGroup": 47385, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "secrets", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "config", "configMap": {"name": "keyside"}},
        ],
        "initContainers": [
            {"name": "before", "image": "i", "args": ["once"], "securityContext": closed, "resources": resources},
            {"name": "beside", "image": "i", "restartPolicy": "Always", "startupProbe": probe("/ready"),
             "livenessProbe": probe("/alive"), "securityContext": closed, "resources": resources,
             "volumeMounts": [{"name": "secrets", "mountPath": "/s"}]},
        ],
        "containers": [
            {"name": "main", "image": "i", "command": ["python3", "a b"], "args": ["c"],
             "env": [{"name": "A", "value": "b"}], "securityContext": closed, "resources": resources,
             "volumeMounts": [
                 {"name": "secrets", "mountPath": "/s", "readOnly": true},
                 {"name": "config", "mountPath": "/c", "readOnly": true},
             ]},
        ],
    }})
}

fn translated(template: Value) -> Result<Plan> {
    let folders = Folders::from([("config".to_owned(), PathBuf::from("/folder"))]);
    plan("pod", &serde_json::from_value(template)?, &folders)
}

const LIMITS: &str = "--memory 67108864 --memory-swap 67108864 --cpu-shares 256 --cpu-quota 100000";
const CLOSED: &str = "--user 10001:10002 --group-add 47385 --read-only --security-opt no-new-privileges --cap-drop=all";

fn surroundings(name: &str) -> String {
    format!("--detach --pull=never --no-healthcheck --read-only-tmpfs=false --pod pod --name pod-{name}")
}

#[test]
fn containers_come_in_the_kubelets_order() {
    let plan = translated(template()).expect("all of it is known");
    let (before, beside) = (&plan.first[0], &plan.first[1]);
    assert_eq!((before.0.name.as_str(), &before.1), ("before", &Wanted::End));
    assert_eq!(before.0.arguments.join(" "), format!("{} {CLOSED} {LIMITS} i once", surroundings("before")));
    let Wanted::Startup(probe) = &beside.1 else { panic!("{beside:?}") };
    assert_eq!((beside.0.name.as_str(), &probe.exec.command[..]), ("beside", &["/ready".to_owned()][..]));
    assert_eq!(beside.0.liveness.as_ref().expect("a probe").exec.command, ["/alive"]);
    let mounted = format!("{} {CLOSED} {LIMITS} --volume pod-secrets:/s:rw i", surroundings("beside"));
    assert_eq!(beside.0.arguments.join(" "), mounted);
    let mounts = "--volume pod-secrets:/s:ro --volume /folder:/c:ro";
    let command = r#"--entrypoint ["python3","a b"] i c"#;
    let main = format!("{} {CLOSED} {LIMITS} {mounts} --env A=b {command}", surroundings("main"));
    assert_eq!(plan.then.iter().map(|start| start.arguments.join(" ")).collect::<Vec<_>>(), [main]);
}

#[test]
fn an_empty_directory_in_memory_is_as_the_kubelet_makes_it() {
    let plan = translated(template()).expect("all of it is known");
    let options = "nr_blocks=2048,mode=2777,uid=0,gid=47385,noswap".to_owned();
    assert_eq!(plan.volumes, [("pod-secrets".to_owned(), options)]);
}

#[test]
fn what_is_not_translated_is_refused() {
    let rows = [
        ("/spec", "hostNetwork", json!(true), "unknown field `hostNetwork`"),
        ("/spec/containers/0", "readinessProbe", json!({}), "unknown field `readinessProbe`"),
        ("/spec/containers/0/securityContext/capabilities", "add", json!(["A"]), "unknown field `add`"),
        ("/spec/containers/0/securityContext", "runAsUser", json!(0), "main is root"),
        ("/spec/containers/0/resources/limits", "memory", json!("64M"), "64M is no quantity of memory"),
        ("/spec/containers/0/resources/limits", "cpu", json!("half"), "half is no quantity of processors"),
        ("/spec/containers/0/volumeMounts/1", "name", json!("other"), "other is not declared"),
        ("/spec/volumes/1", "name", json!("unfilled"), "config is not declared"),
        ("/spec/volumes/0/emptyDir", "medium", json!(""), "an emptyDir on a disk is no place for secrets"),
        ("/spec/volumes/0", "emptyDir", json!({"medium": "Memory"}), "an emptyDir in memory has a limit"),
        ("/spec/securityContext/seccompProfile", "type", json!("Unconfined"), "only the default seccomp profile"),
        ("/spec", "automountServiceAccountToken", json!(true), "there is no API server"),
        ("/spec/initContainers/0", "restartPolicy", json!("Always"), "before: an init container is not started so"),
        ("/spec/initContainers/1", "restartPolicy", Value::Null, "beside: an init container is not started so"),
    ];
    for (parent, key, value, expected) in rows {
        let mut changed = template();
        changed.pointer_mut(parent).expect("it is there")[key] = value;
        let error = translated(changed).expect_err(expected);
        assert!(error.to_string().contains(expected), "{parent}/{key}: {error}");
    }
}
