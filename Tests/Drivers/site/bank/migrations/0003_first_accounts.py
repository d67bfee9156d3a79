from django.db import migrations


def make_accounts(apps, schema_editor):
    """A migration of data, as real ones have."""
    account = apps.get_model("bank", "Account")
    account.objects.bulk_create([account(owner=f"temporary {number}") for number in range(100)])
    assert sum(1 for _ in account.objects.filter(owner__startswith="temporary").iterator()) == 100
    account.objects.filter(owner__startswith="temporary").delete()


class Migration(migrations.Migration):
    dependencies = [("bank", "0002_notes_and_rules")]

    operations = [migrations.RunPython(make_accounts, migrations.RunPython.noop)]
