"""The ASGI application: pages over HTTP, live updates over WebSockets."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
# Whitenoise reads files synchronously; Django hands them to a thread, which is what is wanted.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
# Loads the models, which the consumers behind the routes import.
http_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402

from e2l_site.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": http_application, "websocket": websocket_application})
