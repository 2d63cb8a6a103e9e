//! Certificates for servers on loopback, made by openssl.

use std::path::Path;
use std::process::{Command, Stdio};

/// Makes an authority and a certificate of it for 127.0.0.1: `NAME-ca.pem`, `NAME.pem` and `NAME.key`.
pub fn certificate(folder: &Path, name: &str) {
    let openssl = |args: &str| {
        let args = args.replace("NAME", name);
        let done = Command::new("openssl")
            .args(args.split(' '))
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("openssl: {error}. This test needs it: apt-get install openssl"));
        assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
    };
    std::fs::write(folder.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .expect("a file for openssl");
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout NAME-ca.key -out NAME-ca.pem -days 2 -subj /CN=NAME-ca",
    );
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout NAME.key -out NAME.csr -subj /CN=NAME");
    openssl(
        "x509 -req -in NAME.csr -CA NAME-ca.pem -CAkey NAME-ca.key -CAcreateserial -out NAME.pem -days 2 -extfile ext",
    );
}
