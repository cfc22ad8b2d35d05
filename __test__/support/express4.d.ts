// Express 4 under another name, so that both can be installed. For these tests the types of Express 5 fit.
declare module 'express4' {
  import express from 'express'
  export default express
}
