from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("bank", "0001_initial")]

    operations = [
        migrations.AddField("account", "notes", models.JSONField(default=dict)),
        migrations.AlterField("transfer", "made", models.DateTimeField(auto_now_add=True, db_index=True)),
        migrations.AddConstraint(
            "account", models.CheckConstraint(condition=models.Q(("balance__gte", 0)), name="never_in_debt")),
    ]
