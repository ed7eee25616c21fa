-- Run once by the PostgreSQL container, when its data folder is empty: the registry's tables stay out of the gateway's database.
CREATE DATABASE registry;
