import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Account",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("owner", models.CharField(max_length=50, unique=True)),
                ("balance", models.IntegerField(default=0)),
                ("opened", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.CreateModel(
            name="Transfer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("amount", models.PositiveIntegerField()),
                ("made", models.DateTimeField(auto_now_add=True)),
                ("source", models.ForeignKey(
                    on_delete=django.db.models.deletion.CASCADE, related_name="outgoing", to="bank.account")),
                ("target", models.ForeignKey(
                    on_delete=django.db.models.deletion.CASCADE, related_name="incoming", to="bank.account")),
            ],
        ),
    ]
