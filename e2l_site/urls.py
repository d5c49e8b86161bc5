"""Routes of the site."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from e2l_site import accounts

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("evolution.urls")),
    path("api/v1/", include("evolution.api.urls")),
    path("sign-in/", accounts.SignInView.as_view(), name="sign-in"),
    path("sign-out/", accounts.SignOutView.as_view(), name="sign-out"),
    path("welcome/<str:token>/", accounts.welcome, name="welcome"),
    path("set-password/<uidb64>/<token>/", accounts.SetPasswordView.as_view(), name="set-password"),
    path("account/", accounts.account, name="account"),
    path("account/password/", accounts.change_password, name="change-password"),
    path("account/sessions/", accounts.end_sessions, name="end-sessions"),
]

if settings.OIDC is not None:
    urlpatterns.append(path("accounts/", include("allauth.urls")))

handler400 = "e2l_site.errors.bad_request"
handler403 = "e2l_site.errors.permission_denied"
handler404 = "e2l_site.errors.page_not_found"
handler500 = "e2l_site.errors.server_error"
