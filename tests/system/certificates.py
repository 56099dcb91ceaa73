# SPDX-License-Identifier: Apache-2.0
"""Certificates of our own, good and bad, by the openssl command."""

import subprocess


class Authority:
    """Makes certificates; each is (cert, key)."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self.run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                 f"/CN={name}", "-keyout", self.key, "-out", self.cert)

    @staticmethod
    def run(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def make(self, name, san="DNS:localhost", days=2):
        cert, key, asked = (self.folder / f"{self.name}-{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={san}\n")
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                 key, "-out", asked)
        self.run("x509", "-req", "-in", asked, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                 "-extfile", extensions, "-out", cert)
        key.chmod(0o600)
        return cert, key


REASONS = {  # what is wrong, and curl's words for it
    "expired": "certificate has expired", "wrong_host": "no alternative certificate subject name matches",
    "self_signed": "self-signed certificate", "other_authority": "unable to get local issuer certificate",
}


def bad_certificate(which, ours, theirs):
    return {"expired": lambda: ours.make("expired", days=-1), "wrong_host": lambda: ours.make("wrong", "DNS:elsewhere.example"),
            "other_authority": lambda: theirs.make("server"), "self_signed": lambda: (theirs.cert, theirs.key)}[which]()
