# Varnish 7 in front of one reader and one write server: copies last as long as the readers say, and workers ask
# for those to be dropped that changed (docs/edge.md). Fill in the two backends and the secret.
vcl 4.1;

import std;

backend reads { .host = "read"; .port = "8080"; }
backend writes { .host = "write"; .port = "8081"; }

sub vcl_recv {
    # Workers purge: X07_REGISTRY_PURGE=varnish, X07_REGISTRY_PURGE_SECRET.
    if (req.method == "PURGE") {
        if (req.http.X-X07-Purge != "PURGE_SECRET") {
            return (synth(403));
        }
        std.ban("obj.http.surrogate-key ~ " + req.http.X-X07-Keys);
        return (synth(204));
    }
    unset req.http.X-X07-Purge;
    unset req.http.X-X07-Keys;
    unset req.http.X-X07-Edge;
    set req.backend_hint = writes;
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # The index host serves the index from its root.
    if (req.http.Host ~ "^index\." && req.url !~ "^/((index|log|dl|v1|openapi|healthz|readyz)(/|\?|$)|$)") {
        set req.url = "/index" + req.url;
    }
    # What readers answer: files, and pages of packages.
    if (req.url !~ "^/(index|log|dl)/" && req.url !~ "^/healthz$"
        && req.url !~ "^/v1/packages/(?!publish$)[^/?]+(/owners|/(?!owners/)[^/?]+/(download|metadata|advisories))?(\?|$)") {
        return (pass);
    }
    set req.backend_hint = reads;
    unset req.http.Authorization;
    unset req.http.Cookie;
    # `?x07_refresh=…` reads past the copies. Readers know no other parameter.
    if (req.url ~ "[?&]x07_refresh(=|&|$)") {
        return (pass);
    }
    set req.url = regsub(req.url, "\?.*$", "");
    return (hash);
}

sub vcl_hash {
    # One copy for every name of the host.
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_fetch {
    # A copy is what storage holds at this moment, and Cache-Control says how long it is good.
    if (!bereq.uncacheable) {
        set bereq.http.X-X07-Edge = "confirmed";
    }
}

sub vcl_backend_response {
    # Errors are not kept, nor is what no purge could name. Varnish's own rules, which follow, keep nothing that
    # says no-cache: pages of packages, owners, advisories, the log's checkpoint, in which a change has to be at once.
    if (!beresp.http.Surrogate-Key || beresp.status != 200) {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        return (deliver);
    }
}

sub vcl_deliver {
    unset resp.http.Via;
    unset resp.http.X-Varnish;
}
