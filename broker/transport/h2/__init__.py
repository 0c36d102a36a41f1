"""gRPC over HTTP/2, by the library h2 and asyncio.

The library has every frame but three: DATA, WINDOW_UPDATE and GOAWAY. They are read and written
here. The first two come with each message, and the library takes longer over one than the broker
takes over a sample; after a GOAWAY, sent or received, it refuses to end the open calls.
"""
