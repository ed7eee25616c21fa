import { types } from "node:util";
import { safeText } from "./display-text.js";
import { CommandError, EXIT } from "./exit-code.js";

/** For the rejection of what reads a file that the user named: one that is not there ends the command with 7, all else is thrown on. */
export function refuseMissing(file: string): (error: unknown) => never {
  return (error) => {
    if (
      types.isNativeError(error) &&
      "code" in error &&
      error.code === "ENOENT" &&
      "path" in error &&
      error.path === file
    )
      throw new CommandError(EXIT.notFound, `there is no file ${safeText(file)}`, { cause: error });
    throw error;
  };
}
