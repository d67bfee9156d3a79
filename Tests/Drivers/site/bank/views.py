from bank.models import Account, Transfer
from django.contrib.auth import authenticate, login
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import JsonResponse


def accounts(request):
    if request.method == "POST":
        created = Account.objects.create(owner=request.POST["owner"], balance=int(request.POST["balance"]))
        return JsonResponse({"id": created.id}, status=201)
    rows = Account.objects.values("id", "owner", "balance")
    return JsonResponse({"accounts": list(rows)})


def account(request, number):
    found = Account.objects.prefetch_related("outgoing", "incoming").get(id=number)
    return JsonResponse({
        "owner": found.owner, "balance": found.balance, "outgoing": len(found.outgoing.all()),
        "incoming": len(found.incoming.all()),
    })


def transfer(request):
    amount = int(request.POST["amount"])
    ids = [int(request.POST["source"]), int(request.POST["target"])]
    try:
        with transaction.atomic():
            locked = {row.id: row for row in Account.objects.select_for_update().filter(id__in=ids)}
            made = Transfer.objects.create(source=locked[ids[0]], target=locked[ids[1]], amount=amount)
            Account.objects.filter(id=ids[1]).update(balance=F("balance") + amount)
            Account.objects.filter(id=ids[0]).update(balance=F("balance") - amount)
    except IntegrityError:
        return JsonResponse({"error": "not enough"}, status=409)
    return JsonResponse({"id": made.id}, status=201)


def log_in(request):
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return JsonResponse({"error": "who?"}, status=403)
    login(request, user)
    return JsonResponse({"user": user.username})


def me(request):
    return JsonResponse({"user": request.user.username})
