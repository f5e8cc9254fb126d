"""Answer over HTTP, in one process or on a cluster: bytes come in, clips wait, answers go out.

`settings` what an operator may set; `requests` a body or a form to clips; `places` who is let in;
`queues` where the model runs; `asking` a clip to an answer in time; `answers` what an answer is;
`ears` where streams are heard; `listen` a socket to a stream and its events; `schemas` what /docs
shows; `monitoring` what /metrics shows; `http` all of it as an app; `process` and `cluster` run the
app.
"""
