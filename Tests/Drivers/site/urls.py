from bank import views
from django.urls import path

urlpatterns = [
    path("accounts/", views.accounts),
    path("accounts/<int:number>/", views.account),
    path("transfer/", views.transfer),
    path("login/", views.log_in),
    path("me/", views.me),
]
