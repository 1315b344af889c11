"""HTTP layer on Falcon: routes, middleware, responses; other packages are independent of HTTP."""
