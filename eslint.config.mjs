// Types-aware lint for src and test. What is left to the compiler (unused code paths, implicit any) is not repeated here.
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

const noOutsideWorld = [
  { object: "Date", property: "now", message: "The domain is told the time: take nowMs as an argument." },
  {
    object: "Math",
    property: "random",
    message: "The domain is told its randomness: take a number in [0, 1) as an argument.",
  },
  { object: "performance", property: "now", message: "The domain is told the time: take nowMs as an argument." },
];

export default defineConfig(
  { ignores: ["dist/", "coverage/", "node_modules/", ".sluice/", "**/*.mjs", "**/*.cjs", "**/*.js"] },
  {
    files: ["src/**/*.ts", "test/**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { project: "./tsconfig.all.json", tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],
      "@typescript-eslint/consistent-type-imports": [
        "error",
        { fixStyle: "inline-type-imports", disallowTypeAnnotations: false },
      ],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", ignoreRestSiblings: true },
      ],
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  {
    files: ["src/domain/**/*.ts"],
    rules: {
      "no-restricted-properties": ["error", ...noOutsideWorld],
      "no-restricted-syntax": [
        "error",
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: "The domain is told the time: new Date() reads the clock.",
        },
      ],
      "no-restricted-globals": [
        "error",
        { name: "process", message: "The domain knows no process: take what it needs as an argument." },
      ],
    },
  },
  {
    // @jest/globals' matchers are typed per call; a rejected promise handed to expect is awaited by `.rejects`.
    files: ["test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      // Tests read JSON that others wrote; a wrong shape fails the assertion, which says more than a type would.
      "@typescript-eslint/no-unsafe-argument": "off",
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-return": "off",
      "@typescript-eslint/restrict-plus-operands": "off",
      "@typescript-eslint/restrict-template-expressions": "off",
      "@typescript-eslint/no-misused-spread": "off",
      "@typescript-eslint/no-explicit-any": "off",
    },
  },
);
