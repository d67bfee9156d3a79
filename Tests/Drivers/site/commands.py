"""Runs Django's own commands on the migrated site. Ends with an exception when anything is wrong."""

import io
import json
import os
import pathlib
import tempfile

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from bank.models import Account  # noqa: E402
from django.core.management import call_command  # noqa: E402


def command(*arguments):
    output = io.StringIO()
    call_command(*arguments, stdout=output, stderr=output, no_color=True)
    return output.getvalue()


def migrations():
    """Backwards and forwards."""
    assert "Unapplying bank.0002" in command("migrate", "bank", "0001")
    assert "Applying bank.0003" in command("migrate")
    assert "No changes detected" in command("makemigrations", "--check", "--dry-run")
    assert "class BankTransfer" in command("inspectdb")


def data():
    """Loaded, dumped, flushed."""
    rows = [
        {"model": "bank.account", "pk": number, "fields": {
            "owner": f"owner {number}", "balance": number, "opened": "2024-02-29T12:00:00Z", "notes": {"a": [number]}}}
        for number in range(1, 301)
    ]
    with tempfile.TemporaryDirectory() as folder:
        fixture = pathlib.Path(folder) / "accounts.json"
        fixture.write_text(json.dumps(rows))
        assert "Installed 300 object(s)" in command("loaddata", str(fixture))
    assert json.loads(command("dumpdata", "bank.account")) == rows
    command("flush", "--no-input")
    assert not Account.objects.exists()


if __name__ == "__main__":
    migrations()
    data()
    print("the commands work")
