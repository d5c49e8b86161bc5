"""Sign-in, and the one-time way in on the first start."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.core import signing
from django.urls import reverse

from e2l_site import accounts

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough one"
NEW_ACCOUNT = {"username": "ann", "password1": PASSWORD, "password2": PASSWORD}


def test_the_one_time_link_creates_the_first_account_and_signs_in(client):
    path = accounts.first_signin_path()
    assert "<h1>Welcome</h1>" in client.get(path).content.decode()
    response = client.post(path, NEW_ACCOUNT)
    assert response.status_code == 302
    assert response.url == reverse("evolution:experiments")
    user = get_user_model().objects.get()
    assert (user.username, user.is_superuser) == ("ann", True)
    assert user.check_password(PASSWORD)
    assert client.get(reverse("evolution:experiments")).status_code == 200


def test_the_one_time_link_is_dead_once_there_is_an_account(client, django_user_model):
    path = accounts.first_signin_path()
    django_user_model.objects.create_user("bob", password=PASSWORD)
    assert accounts.first_signin_path() is None
    for response in (client.get(path), client.post(path, NEW_ACCOUNT)):
        assert response.status_code == 410
        assert "has done its work" in response.content.decode()
    assert [user.username for user in django_user_model.objects.all()] == ["bob"]


def test_a_forged_link_is_not_found(client):
    good = accounts.first_signin_path()
    for path in (good[:-3] + "x/", reverse("welcome", args=["anything"])):
        response = client.post(path, NEW_ACCOUNT)
        assert response.status_code == 404
        assert "This link is not complete" in response.content.decode()
    assert not get_user_model().objects.exists()


def test_a_token_signed_for_another_purpose_is_not_found(client):
    path = reverse("welcome", args=[signing.dumps("first", salt="something else")])
    assert client.post(path, NEW_ACCOUNT).status_code == 404


def test_an_old_link_has_expired(client, monkeypatch):
    path = accounts.first_signin_path()
    monkeypatch.setattr(accounts, "LINK_LIFETIME_S", -1)
    response = client.post(path, NEW_ACCOUNT)
    assert response.status_code == 410
    assert "This link has expired" in response.content.decode()
    assert not get_user_model().objects.exists()


def test_a_weak_password_gets_a_message_and_no_account(client):
    response = client.post(
        accounts.first_signin_path(), {"username": "ann", "password1": "12", "password2": "12"}
    )
    assert response.status_code == 200
    assert "too short" in response.content.decode()
    assert not get_user_model().objects.exists()


def test_sign_in_and_out(client, django_user_model):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    page = client.get("/")
    assert page.status_code == 302
    assert page.url == "/sign-in/?next=/"
    response = client.post(page.url, {"username": "ann", "password": PASSWORD, "next": "/"})
    assert (response.status_code, response.url) == (302, "/")
    assert client.get("/").status_code == 200
    assert client.post(reverse("sign-out")).status_code == 302
    assert client.get("/").status_code == 302


def test_sign_in_with_a_wrong_password_says_so(client, django_user_model):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    response = client.post(reverse("sign-in"), {"username": "ann", "password": "wrong"})
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()


def test_sign_in_does_not_redirect_to_other_sites(client, django_user_model):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    response = client.post(
        reverse("sign-in"),
        {"username": "ann", "password": PASSWORD, "next": "https://evil.example.org/"},
    )
    assert response.url == "/"


def test_sign_out_needs_a_form(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ann"))
    assert client.get(reverse("sign-out")).status_code == 405
    assert client.get("/").status_code == 200


def test_the_sign_in_page_says_when_there_is_no_account(client, django_user_model):
    hint = "There is no account yet"
    assert hint in client.get(reverse("sign-in")).content.decode()
    django_user_model.objects.create_user("ann")
    assert hint not in client.get(reverse("sign-in")).content.decode()
