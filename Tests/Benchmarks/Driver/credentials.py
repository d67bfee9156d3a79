"""A certificate and a stored password, made anew for each benchmark."""

import base64
import hashlib
import hmac
import os
import subprocess

from processes import Failed, give_to_user

PASSWORD = "a password of the benchmark"


class Certificate:
    """A self-signed certificate for localhost and its key, by the curve P-256."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "server.crt")
        self.key_path = os.path.join(folder, "server.key")
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        done = subprocess.run(
            [*words.split(), "-keyout", self.key_path, "-out", self.path],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(f"openssl: {done.stderr.strip()}")
        os.chmod(self.key_path, 0o600)
        give_to_user(self.key_path)
        give_to_user(self.path)

    def settings(self):
        """What has a pooler show it to its clients, and want TLS."""
        return [
            "client_tls_sslmode = require",
            f"client_tls_key_file = {self.key_path}",
            f"client_tls_cert_file = {self.path}",
        ]


def verifier(password=PASSWORD, iterations=4096):
    """What PostgreSQL stores of a password for SCRAM-SHA-256."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)

    def key(name):
        return hmac.new(salted, name, hashlib.sha256).digest()

    stored = hashlib.sha256(key(b"Client Key")).digest()
    texts = [base64.b64encode(part).decode() for part in (salt, stored, key(b"Server Key"))]
    return f"SCRAM-SHA-256${iterations}:{texts[0]}${texts[1]}:{texts[2]}"
