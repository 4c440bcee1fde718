GREETING = {"Hello": "World"}
