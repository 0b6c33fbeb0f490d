/**
 * What `console.log` shows of an object.
 *
 * @module
 */

/**
 * Makes `console.log` show a class's instances by their `toString`, in Deno and in Node.
 *
 * @param constructor The class.
 */
export function showAsText(constructor: abstract new (...args: never) => object): void {
  for (const name of ["Deno.customInspect", "nodejs.util.inspect.custom"]) {
    Object.defineProperty(constructor.prototype, Symbol.for(name), {
      value(this: object) {
        return String(this);
      },
    });
  }
}
