// The tests that need real servers: the stack is started once for all of them and ended after the last.
import base from "./jest.config.mjs";

export default {
  ...base,
  roots: ["integration", "contract"].map((folder) => `<rootDir>/test/${folder}`),
  // They wait for servers and processes of their own far more than they compute: two cores carry three.
  maxWorkers: 3,
  globalSetup: "<rootDir>/test/support/global-setup.mjs",
  globalTeardown: "<rootDir>/test/support/global-teardown.mjs",
};
