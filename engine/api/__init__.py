"""The REST API over the SQL store, the model store and the coordinator's folder: `driftline serve`.

It shares no memory with the engine, and the engine runs without it. One file per noun holds the routes and
their queries; `app` composes them.
"""
